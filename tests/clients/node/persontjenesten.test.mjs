// openapi-client-axios, a client made from nothing but an OpenAPI document, against the person service: the national document
// itself, where the shared data folder is at hand.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { OpenAPIClientAxios } from 'openapi-client-axios'
import { parse } from 'yaml'
import { facts } from './facts.mjs'

const shared = process.env.HELSENAV_SHARED ?? path.resolve(import.meta.dirname, '../../../../shared')
const document = path.join(shared, 'data/grunndata/persontjenesten/persontjenesten-v2-openapi.yaml')
const skip = fs.existsSync(document) ? false : 'the shared data folder is not beside the repository'
const AUDIENCE = 'nhn:hgd-persontjenesten-api'
const [first, second] = facts.persons

async function service(scope) {
  const { url, api_key } = facts.helseid.test_tokens
  const request = {
    audience: AUDIENCE, clientClaimsParameters: { scope: [`${AUDIENCE}/${scope}`], orgnrParent: facts.organisations[0].orgnr },
  }
  const made = await fetch(url, { method: 'POST', headers: { 'x-auth-key': api_key, 'content-type': 'application/json' }, body: JSON.stringify(request) })
  const { successResponse } = await made.json()
  const api = new OpenAPIClientAxios({
    definition: parse(fs.readFileSync(document, 'utf8')),
    withServer: { url: facts.endpoints.persontjenesten },
    axiosConfigDefaults: {
      headers: { authorization: `Bearer ${successResponse.accessTokenJwt}`, 'api-version': '2' },
      // Lists as the document has them: the name again for each value.
      paramsSerializer: { indexes: null }, formSerializer: { indexes: null },
    },
  })
  return (await api.init()).paths
}

const form = { headers: { 'content-type': 'application/x-www-form-urlencoded' } }
const informationParts = ['Name', 'Birth', 'NorwegianIdentificationNumber']
const TREES = [['read-with-legal-basis', '/api/legal-basis'], ['read-no-legal-basis', '/api/no-legal-basis']]

for (const [scope, tree] of TREES) {
  test(`look-up, bulk, search and events: ${tree}`, { skip }, async () => {
    const paths = await service(scope)
    const { data: person } = await paths[`${tree}/person/get-by-nin`].post({ informationParts }, { nin: first.pid }, form)
    assert.ok(person.norwegianIdentificationNumber.some((n) => n.identificationNumber === first.pid))
    const { data: same } = await paths[`${tree}/person/{id}`].get({ id: person.id, informationParts })
    assert.deepEqual(same, person)
    const { data: both } = await paths[`${tree}/person/bulk-by-nin`].post({ informationParts }, { nins: [first.pid, second.pid] }, form)
    assert.equal(both.length, 2)
    const { data: ids } = await paths[`${tree}/person/bulk-by-id`].post({ informationParts }, { personIds: both.map((p) => p.id) }, form)
    assert.deepEqual(ids, both)
    const name = person.name[0]
    const { data: found } = await paths[`${tree}/search/person`].post(
      { informationParts }, { FamilyName: name.familyName, BirthDate: first.born }, form)
    assert.ok(found.results.some((p) => p.id === person.id))
    // The filters of lists have a first and a last day instead of a birth date.
    const { data: count } = await paths[`${tree}/search/match-count`].post(
      {}, { FamilyName: name.familyName, BirthDateFrom: first.born, BirthDateTo: first.born }, form)
    assert.equal(count.matchCount, found.results.length)
    const { data: page } = await paths[`${tree}/search/paged-match-list`].post({}, { PageSize: 10, IndexOffset: 0 }, form)
    assert.equal(page.results.length, 10)
    const { data: latest } = await paths[`${tree}/event/latest`].get()
    const { data: events } = await paths[`${tree}/event`].get({ sequenceNumber: Number(latest.sequenceNumber) })
    assert.equal(events.results.at(-1).sequenceNumber, latest.sequenceNumber)
  })
}

test('what is wrong is a problem document', { skip }, async () => {
  const paths = await service('read-no-legal-basis')
  const [open, closed] = [paths['/api/no-legal-basis/person/get-by-nin'], paths['/api/legal-basis/person/get-by-nin']]
  const refused = (status) => (e) => e.response.status === status && e.response.data.status === status
  await assert.rejects(open.post({ informationParts }, { nin: '12345678901' }, form), refused(400))
  await assert.rejects(open.post({}, { nin: first.pid }, form), refused(400))
  await assert.rejects(closed.post({ informationParts }, { nin: first.pid }, form), refused(403))
})
