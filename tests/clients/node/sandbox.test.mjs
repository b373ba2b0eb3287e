// fhir-kit-client against the sandbox.
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { test } from 'node:test'
import Client from 'fhir-kit-client'
import { facts } from './facts.mjs'

const fhir = new Client({ baseUrl: facts.fhir.sandbox })
const mark = `urn:test:${crypto.randomUUID()}`
const patient = (family) => ({ resourceType: 'Patient', identifier: [{ system: mark, value: family }], name: [{ family }] })
const observation = (subject, value) => ({
  resourceType: 'Observation', status: 'final', identifier: [{ system: mark, value: `o${value}` }], subject: { reference: subject },
  code: { coding: [{ system: 'http://loinc.org', code: '718-7' }] }, valueQuantity: { value, unit: 'g/dL', system: 'http://unitsofmeasure.org', code: 'g/dL' },
})
const create = (body) => fhir.create({ resourceType: body.resourceType, body })
const status = (expected) => (e) => e.response.status === expected

test('capabilities, and where the tokens come from', async () => {
  const statement = await fhir.capabilityStatement()
  assert.equal(statement.fhirVersion, '4.0.1')
  // Not smartAuthMetadata(): it aborts its own requests in a way that Node 20 refuses.
  const uris = statement.rest[0].security.extension[0].extension
  const told = await (await fetch(`${facts.fhir.sandbox}/.well-known/smart-configuration`)).json()
  assert.equal(uris.find((u) => u.url === 'token').valueUri, told.token_endpoint)
  assert.equal(told.issuer, facts.helseid.issuer)
})

test('create, read, update, vread, history, delete', async () => {
  const made = await fhir.create({ resourceType: 'Patient', body: patient('Første') })
  const { id } = made
  const changed = await fhir.update({ resourceType: 'Patient', id, body: { ...made, birthDate: '1980-01-01' } })
  assert.equal(changed.meta.versionId, '2')
  const first = await fhir.vread({ resourceType: 'Patient', id, version: '1' })
  assert.equal(first.birthDate, undefined)
  assert.equal((await fhir.history({ resourceType: 'Patient', id })).entry.length, 2)
  await fhir.delete({ resourceType: 'Patient', id })
  await assert.rejects(fhir.read({ resourceType: 'Patient', id }), status(410))
  await assert.rejects(fhir.read({ resourceType: 'Patient', id: crypto.randomUUID() }), status(404))
})

test('search, pages, conditional create, transaction', async () => {
  const entry = ['En', 'To', 'Tre'].map((f) => ({
    fullUrl: `urn:uuid:${crypto.randomUUID()}`, resource: patient(f), request: { method: 'POST', url: 'Patient' },
  }))
  const done = await fhir.transaction({ body: { resourceType: 'Bundle', type: 'transaction', entry } })
  assert.ok(done.entry.every((e) => e.response.status.startsWith('201')))
  let page = await fhir.search({ resourceType: 'Patient', searchParams: { identifier: `${mark}|`, _count: 2 } })
  let seen = page.entry.length
  page = await fhir.nextPage({ bundle: page })
  seen += page.entry.length
  assert.equal(seen, 3)
  assert.equal(fhir.nextPage({ bundle: page }), undefined)
  const again = await fhir.create({
    resourceType: 'Patient', body: patient('En'), options: { headers: { 'If-None-Exist': `identifier=${encodeURIComponent(mark)}|En` } },
  })
  assert.ok(again)
  page = await fhir.search({ resourceType: 'Patient', searchParams: { identifier: `${mark}|En` } })
  assert.equal(page.total, 1)
})

test('patch: JSON Patch; a failing test changes nothing', async () => {
  const { id } = await create(patient('Lapp'))
  const patched = await fhir.patch({ resourceType: 'Patient', id, JSONPatch: [{ op: 'add', path: '/birthDate', value: '1999-09-09' }] })
  assert.equal(patched.birthDate, '1999-09-09')
  const wrong = [{ op: 'test', path: '/birthDate', value: '2000-01-01' }, { op: 'remove', path: '/birthDate' }]
  await assert.rejects(fhir.patch({ resourceType: 'Patient', id, JSONPatch: wrong }), status(422))
  assert.equal((await fhir.read({ resourceType: 'Patient', id })).meta.versionId, '2')
})

test('conditional update: none, one, many', async () => {
  const searchParams = { identifier: `${mark}|Betinget` }
  const made = await fhir.update({ resourceType: 'Patient', searchParams, body: patient('Betinget') })
  const again = await fhir.update({ resourceType: 'Patient', searchParams, body: { ...patient('Betinget'), gender: 'other' } })
  assert.equal(again.id, made.id)
  assert.equal(again.meta.versionId, '2')
  await create(patient('Betinget'))
  await assert.rejects(fhir.update({ resourceType: 'Patient', searchParams, body: patient('Betinget') }), status(412))
})

test('references: include, revinclude, chain, compartment, resolve', async () => {
  const { id } = await create(patient('Kjede'))
  const made = await create(observation(`Patient/${id}`, 13.5))
  await create(observation(`Patient/${id}`, 9.1))
  const chained = await fhir.search({
    resourceType: 'Observation', searchParams: { 'subject:Patient.identifier': `${mark}|Kjede`, 'value-quantity': 'gt10', _include: 'Observation:subject' },
  })
  assert.deepEqual(chained.entry.map((e) => [e.resource.resourceType, e.search.mode]), [['Observation', 'match'], ['Patient', 'include']])
  const back = await fhir.search({ resourceType: 'Patient', searchParams: { identifier: `${mark}|Kjede`, _revinclude: 'Observation:subject' } })
  assert.equal(back.entry.length, 3)
  assert.equal(back.total, 1)
  const inside = await fhir.compartmentSearch({ resourceType: 'Observation', compartment: { resourceType: 'Patient', id }, searchParams: { code: '718-7' } })
  assert.equal(inside.total, 2)
  assert.equal((await fhir.resolve({ reference: made.subject.reference })).id, id)
  const posted = await fhir.search({ resourceType: 'Observation', searchParams: { subject: `Patient/${id}` }, options: { postSearch: true } })
  assert.equal(posted.total, 2)
})

test('batch: each entry for itself; histories of type and system', async () => {
  const { id } = await create(patient('Bunt'))
  const done = await fhir.batch({
    body: {
      resourceType: 'Bundle', type: 'batch',
      entry: [{ request: { method: 'GET', url: `Patient/${id}` } }, { request: { method: 'GET', url: 'Patient/finnes-ikke' } },
        { request: { method: 'DELETE', url: `Patient/${id}` } }],
    },
  })
  assert.deepEqual(done.entry.map((e) => e.response.status.slice(0, 3)), ['200', '404', '204'])
  assert.equal(done.entry[0].resource.id, id)
  assert.equal(done.entry[1].response.outcome.issue[0].code, 'not-found')
  const history = await fhir.typeHistory({ resourceType: 'Patient' })
  assert.equal(history.entry[0].request.method, 'DELETE')
  assert.equal((await fhir.systemHistory()).type, 'history')
})

test('operations: $validate says what is wrong; an unknown one is 404', async () => {
  const good = await fhir.operation({ name: 'validate', resourceType: 'Patient', input: patient('Gyldig') })
  assert.ok(good.issue.every((i) => i.severity !== 'error'))
  const bad = await fhir.operation({ name: 'validate', resourceType: 'Patient', input: { ...patient('Feil'), gender: 'ukjent' } })
  assert.ok(bad.issue.some((i) => i.severity === 'error' && i.expression[0].includes('gender')))
  await assert.rejects(fhir.operation({ name: 'finnes-ikke', resourceType: 'Patient', input: {} }), status(404))
})

test('a misspelled parameter is refused, not ignored', async () => {
  await assert.rejects(fhir.search({ resourceType: 'Patient', searchParams: { familly: 'Hansen' } }), status(400))
})
