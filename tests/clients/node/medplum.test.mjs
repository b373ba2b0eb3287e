// @medplum/core against the sandbox.
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { test } from 'node:test'
import { MedplumClient, OperationOutcomeError, normalizeErrorString } from '@medplum/core'
import { facts } from './facts.mjs'

const base = new URL(facts.fhir.sandbox)
const fhir = new MedplumClient({ baseUrl: `${base.origin}/`, fhirUrlPath: base.pathname.slice(1), cacheTime: 0, fetch })
const mark = `urn:test:${crypto.randomUUID()}`
const patient = (family) => ({ resourceType: 'Patient', identifier: [{ system: mark, value: family }], name: [{ family, given: ['Ola'] }] })
const refused = (code) => (e) => e instanceof OperationOutcomeError && e.outcome.issue[0].code === code

test('create, read, update, patch, version, history, delete', async () => {
  const made = await fhir.createResource(patient('Medplum'))
  assert.equal((await fhir.readResource('Patient', made.id)).name[0].family, 'Medplum')
  const changed = await fhir.updateResource({ ...made, birthDate: '1970-01-01' })
  assert.equal(changed.meta.versionId, '2')
  const same = await fhir.updateResource(changed)
  assert.equal(same.meta.versionId, '2')
  const patched = await fhir.patchResource('Patient', made.id, [{ op: 'replace', path: '/birthDate', value: '1971-01-01' }])
  assert.equal(patched.birthDate, '1971-01-01')
  assert.equal((await fhir.readVersion('Patient', made.id, '1')).birthDate, undefined)
  assert.equal((await fhir.readHistory('Patient', made.id)).entry.length, 3)
  await fhir.deleteResource('Patient', made.id)
  await assert.rejects(fhir.readResource('Patient', made.id), refused('deleted'))
})

test('search: bundle, resources, one, pages, references', async () => {
  for (const family of ['Alfa', 'Beta', 'Gamma']) await fhir.createResource(patient(family))
  const found = await fhir.search('Patient', { identifier: `${mark}|`, name: 'alfa', _fields: undefined })
  assert.equal(found.total, 1)
  const resources = await fhir.searchResources('Patient', `family=Beta,Gamma&identifier=${mark}|&_sort=-family`)
  assert.deepEqual(resources.map((p) => p.name[0].family), ['Gamma', 'Beta'])
  assert.equal((await fhir.searchOne('Patient', { family: 'Alfa', identifier: `${mark}|` })).name[0].family, 'Alfa')
  let pages = 0, seen = 0
  for await (const page of fhir.searchResourcePages('Patient', { identifier: `${mark}|`, name: 'alfa,beta,gamma', _count: 2 })) {
    pages++
    seen += page.length
  }
  assert.deepEqual([pages, seen], [2, 3])
  const { id } = resources[0]
  const observation = await fhir.createResource({
    resourceType: 'Observation', status: 'final', code: { text: 'Høyde' }, subject: { reference: `Patient/${id}`, display: 'Gamma' }, valueInteger: 3,
  })
  assert.equal((await fhir.readReference(observation.subject)).id, id)
  const everything = await fhir.readPatientEverything(id)
  assert.ok(everything.entry.some((e) => e.resource.id === observation.id))
})

test('conditional create and upsert', async () => {
  const query = `identifier=${encodeURIComponent(`${mark}|Delta`)}`
  const one = await fhir.createResourceIfNoneExist(patient('Delta'), query)
  const two = await fhir.createResourceIfNoneExist(patient('Delta'), query)
  assert.equal(two.id, one.id)
  const three = await fhir.upsertResource({ ...patient('Delta'), gender: 'female' }, query)
  assert.equal(three.id, one.id)
  assert.equal(three.gender, 'female')
})

test('batch, with auto-batched reads', async () => {
  const done = await fhir.executeBatch({
    resourceType: 'Bundle', type: 'transaction',
    entry: [
      { fullUrl: 'urn:uuid:0b0e1d66-6f2f-4f6d-9f86-5f1b7a4d0b11', resource: patient('Epsilon'), request: { method: 'POST', url: 'Patient' } },
      { resource: { resourceType: 'Flag', status: 'active', code: { text: 'x' }, subject: { reference: 'urn:uuid:0b0e1d66-6f2f-4f6d-9f86-5f1b7a4d0b11' } },
        request: { method: 'POST', url: 'Flag' } },
    ],
  })
  const ids = done.entry.map((e) => e.response.location.split('/').at(-3))
  const batching = new MedplumClient({ baseUrl: `${base.origin}/`, fhirUrlPath: base.pathname.slice(1), cacheTime: 0, autoBatchTime: 10, fetch })
  const [a, b] = await Promise.all([batching.readResource('Patient', ids[0]), batching.readResource('Flag', ids[1])])
  assert.equal(b.subject.reference, `Patient/${a.id}`)
})

test('validate: a verdict, whatever it is', async () => {
  assert.equal((await fhir.validateResource(patient('Zeta'))).resourceType, 'OperationOutcome')
})

test('graphql', async () => {
  const { id } = await fhir.createResource(patient('Eta'))
  const { data } = await fhir.graphql(`{ Patient(id: "${id}") { id name { family } } }`)
  assert.deepEqual(data, { Patient: { id, name: [{ family: 'Eta' }] } })
})

test('errors are OperationOutcomes', async () => {
  await assert.rejects(fhir.readResource('Patient', crypto.randomUUID()), refused('not-found'))
  await assert.rejects(fhir.search('Patient', 'familly=x'), (e) => e instanceof OperationOutcomeError && normalizeErrorString(e).length > 0)
  await assert.rejects(fhir.createResource({ resourceType: 'Patient', gender: 'ukjent' }), (e) => e.outcome.issue[0].expression[0] === 'Patient.gender')
})
