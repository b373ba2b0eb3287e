// Subscriptions of the sandbox with foreign receivers: the ws package as websocket client, Node's own HTTP server as endpoint.
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import http from 'node:http'
import { test } from 'node:test'
import WebSocket from 'ws'
import { facts } from './facts.mjs'

const base = facts.fhir.sandbox
const guide = 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition'
const code = crypto.randomUUID()

async function send(method, path, body) {
  const answer = await fetch(`${base}/${path}`, { method, headers: { 'Content-Type': 'application/fhir+json' }, body: body && JSON.stringify(body) })
  const text = await answer.text()
  assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`)
  return text ? JSON.parse(text) : undefined
}
const observation = () => send('POST', 'Observation', { resourceType: 'Observation', status: 'final', code: { coding: [{ system: 'urn:test', code }] } })
async function subscribe(channel) {
  const made = await send('POST', 'Subscription', {
    resourceType: 'Subscription', status: 'requested', reason: 'test',
    criteria: 'urn:helsenav:topic:Observation:create',
    _criteria: { extension: [{ url: `${guide}/backport-filter-criteria`, valueString: `Observation?code=urn:test|${code}` }] },
    channel: { ...channel, payload: 'application/fhir+json', _payload: { extension: [{ url: `${guide}/backport-payload-content`, valueCode: 'full-resource' }] } },
  })
  for (let n = 0; n < 500; n++) {
    const now = await send('GET', `Subscription/${made.id}`)
    if (now.status === 'active') return made.id
    assert.notEqual(now.status, 'error', now.error)
    await new Promise((done) => setTimeout(done, 20))
  }
  throw new Error('never active')
}
const parameter = (bundle, name) => bundle.entry[0].resource.parameter.filter((p) => p.name === name)
const kind = (bundle) => parameter(bundle, 'type')[0].valueCode
const numbers = (bundle) => parameter(bundle, 'notification-event').map((e) => Number(e.part.find((p) => p.name === 'event-number').valueString))

test('a websocket is bound with a token and told in order', { timeout: 60_000 }, async () => {
  const id = await subscribe({ type: 'websocket' })
  const answer = await send('GET', `Subscription/${id}/$get-ws-binding-token`)
  const of = (name) => answer.parameter.find((p) => p.name === name)
  const socket = new WebSocket(of('websocket-url').valueUrl)
  const heard = []
  let wake = () => {}
  socket.on('message', (data) => { heard.push(JSON.parse(data)); wake() })
  const until = async (count) => { while (heard.length < count) await new Promise((done) => { wake = done }) }
  await new Promise((done, fail) => { socket.on('open', done); socket.on('error', fail) })
  socket.send(`bind-with-token ${of('token').valueString}`)
  await until(1)
  assert.equal(kind(heard[0]), 'handshake')
  const made = [await observation(), await observation(), await observation()]
  await until(4)
  const told = heard.slice(1)
  assert.deepEqual(told.flatMap(numbers), [1, 2, 3])
  assert.deepEqual(told.map((b) => b.entry[1].resource.id), made.map((o) => o.id))
  socket.close()
  await send('DELETE', `Subscription/${id}`)
})

test('a REST hook gets the handshake, then each event once and in order', { timeout: 60_000 }, async () => {
  const got = []
  let wake = () => {}
  let refuse = 1
  const server = http.createServer((request, answer) => {
    let body = ''
    request.on('data', (part) => { body += part })
    request.on('end', () => {
      const bundle = JSON.parse(body)
      // The first event is refused once: it comes again.
      if (kind(bundle) === 'event-notification' && refuse-- > 0) return answer.writeHead(500).end()
      got.push(bundle)
      answer.writeHead(200).end()
      wake()
    })
  })
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  const id = await subscribe({ type: 'rest-hook', endpoint: `http://127.0.0.1:${server.address().port}/hook` })
  for (let n = 0; n < 3; n++) await observation()
  while (got.length < 4) await new Promise((done) => { wake = done })
  assert.equal(kind(got[0]), 'handshake')
  assert.deepEqual(got.slice(1).flatMap(numbers), [1, 2, 3])
  const events = await send('GET', `Subscription/${id}/$events?eventsSinceNumber=2`)
  assert.deepEqual(numbers(events), [2, 3])
  await send('DELETE', `Subscription/${id}`)
  server.closeAllConnections()
  server.close()
})
