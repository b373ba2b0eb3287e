// fhir-kit-client against the sandbox.
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { test } from 'node:test'
import Client from 'fhir-kit-client'
import { facts } from './facts.mjs'

const fhir = new Client({ baseUrl: facts.fhir.sandbox })
const mark = `urn:test:${crypto.randomUUID()}`
const patient = (family) => ({ resourceType: 'Patient', identifier: [{ system: mark, value: family }], name: [{ family }] })

test('capabilities', async () => {
  const statement = await fhir.capabilityStatement()
  assert.equal(statement.fhirVersion, '4.0.1')
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
  await assert.rejects(fhir.read({ resourceType: 'Patient', id }), (e) => e.response.status === 410)
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
  const again = await fhir.create({
    resourceType: 'Patient', body: patient('En'), options: { headers: { 'If-None-Exist': `identifier=${encodeURIComponent(mark)}|En` } },
  })
  assert.ok(again)
  page = await fhir.search({ resourceType: 'Patient', searchParams: { identifier: `${mark}|En` } })
  assert.equal(page.total, 1)
})
