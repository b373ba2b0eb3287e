// The OpenAPI documents of the repositories, judged by a stock validator.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { facts } from './facts.mjs'

for (const name of ['sandbox', 'provesvar']) {
  test(`${name} describes itself`, async () => {
    const answer = await fetch(`${facts.fhir[name]}/openapi.json`)
    assert.equal(answer.status, 200)
    assert.match(answer.headers.get('content-type'), /^application\/json/)
    const document = await answer.json()
    const verdict = await new Validator().validate(document)
    assert.ok(verdict.valid, JSON.stringify(verdict.errors)?.slice(0, 2000))
    const ids = Object.values(document.paths).flatMap((item) => Object.values(item).map((o) => o.operationId))
    assert.equal(new Set(ids).size, ids.length, 'operation ids are unique')
    assert.ok(document.paths['/Patient/{id}'].get)
    // The same tables: what the CapabilityStatement offers is described, and nothing else is.
    const statement = await (await fetch(`${facts.fhir[name]}/metadata`)).json()
    const methods = { create: ['', 'post'], update: ['/{id}', 'put'], patch: ['/{id}', 'patch'], delete: ['/{id}', 'delete'] }
    for (const resource of statement.rest[0].resource) {
      for (const [code, [path, method]] of Object.entries(methods)) {
        const offered = resource.interaction.some((i) => i.code === code)
        assert.equal(Boolean(document.paths[`/${resource.type}${path}`]?.[method]), offered, `${code} of ${resource.type}`)
      }
    }
    const tag = answer.headers.get('etag')
    assert.equal((await fetch(`${facts.fhir[name]}/openapi.json`, { headers: { 'if-none-match': tag } })).status, 304)
    assert.equal((await fetch(`${facts.fhir[name]}/openapi.json?_type=Patient`)).status, 200)
    assert.equal((await fetch(`${facts.fhir[name]}/openapi.json?_type=Pasient`)).status, 404)
  })
}
