// fhir-kit-client against the registers as FHIR, with a token that is bound to no key.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import Client from 'fhir-kit-client'
import { facts } from './facts.mjs'

const AUDIENCE = 'nhn:hgd-persontjenesten-api'
const HPR = 'urn:oid:2.16.578.1.12.4.1.4.4'
const status = (expected) => (e) => e.response.status === expected

async function token(scope) {
  const { url, api_key } = facts.helseid.test_tokens
  const request = {
    audience: AUDIENCE, clientClaimsParameters: { scope: [`${AUDIENCE}/${scope}`], orgnrParent: facts.organisations[0].orgnr },
  }
  const made = await fetch(url, { method: 'POST', headers: { 'x-auth-key': api_key, 'content-type': 'application/json' }, body: JSON.stringify(request) })
  const { isError, successResponse, errorResponse } = await made.json()
  assert.equal(isError, false, JSON.stringify(errorResponse))
  return successResponse.accessTokenJwt
}

const client = async (scope) => new Client({ baseUrl: facts.fhir.grunndata, bearerToken: await token(scope) })
const fhir = await client('read-with-legal-basis')
const doctor = facts.personnel.find((p) => p.role === 'LE')
const entries = (bundle, mode) => (bundle.entry ?? []).filter((e) => e.search.mode === mode).map((e) => e.resource)

test('the statement tells what can come along', async () => {
  const statement = await fhir.capabilityStatement()
  const role = statement.rest[0].resource.find((r) => r.type === 'PractitionerRole')
  assert.ok(role.searchInclude.includes('PractitionerRole:practitioner'))
  assert.deepEqual(role.interaction.map((i) => i.code), ['read', 'vread', 'history-instance', 'search-type'])
})

test('a doctor, her roles and where she works, in one search', async () => {
  const searchParams = { identifier: `${HPR}|${doctor.hpr_number}`, _revinclude: 'PractitionerRole:practitioner' }
  const bundle = await fhir.search({ resourceType: 'Practitioner', searchParams })
  assert.equal(bundle.total, 1)
  const [practitioner] = entries(bundle, 'match')
  const roles = entries(bundle, 'include')
  assert.ok(roles.length > 0 && roles.every((r) => r.practitioner.reference === `Practitioner/${practitioner.id}`))
  const found = await fhir.search({
    resourceType: 'PractitionerRole',
    searchParams: { practitioner: practitioner.id, _include: ['PractitionerRole:organization', 'PractitionerRole:location'] },
  })
  const units = entries(found, 'include').filter((r) => r.resourceType === 'Organization')
  for (const role of entries(found, 'match')) {
    const unit = await fhir.resolve({ reference: role.organization.reference })
    assert.ok(units.some((u) => u.id === unit.id), role.organization.reference)
  }
  await assert.rejects(
    fhir.search({ resourceType: 'PractitionerRole', searchParams: { practitioner: practitioner.id, _include: 'PractitionerRole:x' } }), status(400))
})

test('places: of an organisation, and near a point', async () => {
  const all = await fhir.search({ resourceType: 'Location', searchParams: { _count: 5 } })
  assert.ok(all.total > 0)
  const place = entries(all, 'match')[0]
  const manager = await fhir.resolve({ reference: place.managingOrganization.reference })
  assert.equal(manager.resourceType, 'Organization')
  const positioned = entries(all, 'match').find((l) => l.position)
  if (positioned) {
    const { latitude, longitude } = positioned.position
    const near = await fhir.search({ resourceType: 'Location', searchParams: { near: `${latitude}|${longitude}|1|km`, _count: 500 } })
    assert.ok(entries(near, 'match').some((l) => l.id === positioned.id))
  }
})

test('versions of a doctor', async () => {
  const id = `hpr-${doctor.hpr_number}`
  const now = await fhir.read({ resourceType: 'Practitioner', id })
  const history = await fhir.history({ resourceType: 'Practitioner', id })
  assert.equal(history.type, 'history')
  assert.deepEqual(history.entry[0].resource, now)
  assert.deepEqual(await fhir.vread({ resourceType: 'Practitioner', id, version: now.meta.versionId }), now)
  await assert.rejects(fhir.vread({ resourceType: 'Practitioner', id, version: '999' }), status(404))
})

test('a patient by her national id, in a body only', async () => {
  const { pid } = facts.persons[0]
  const searchParams = { identifier: `urn:oid:2.16.578.1.12.4.1.4.1|${pid}`, _include: 'Patient:general-practitioner' }
  const bundle = await fhir.resourceSearch({ resourceType: 'Patient', searchParams, options: { postSearch: true } })
  assert.equal(bundle.total, 1)
  const [patient] = entries(bundle, 'match')
  for (const gp of patient.generalPractitioner ?? []) {
    assert.ok(entries(bundle, 'include').some((r) => gp.reference === `${r.resourceType}/${r.id}`), gp.reference)
  }
  await assert.rejects(fhir.resourceSearch({ resourceType: 'Patient', searchParams }), status(400))
  const open = await client('read-no-legal-basis')
  const shown = await open.read({ resourceType: 'Patient', id: patient.id })
  assert.equal(shown.generalPractitioner, undefined)
})
