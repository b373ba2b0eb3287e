// rhea on a queue of register events: an event that is given back comes again, and is gone once accepted.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import rhea from 'rhea'
import { busUser, facts } from './facts.mjs'

const MANAGER = 'http://schemas.nhn.no/reg/serviceBusManagerV2'
const AR = 'http://register.nhn.no/CommunicationParty'
const office = facts.organisations.find((one) => one.key === 'vaar-epj')
const system = facts.grunndata.users.find((one) => one.username === `OrgUsr${office.orgnr}`)

/** A SOAP 1.1 call as a client without a SOAP library makes it. */
async function soap(path, contract, operation, parameters) {
  const namespace = contract.slice(0, contract.lastIndexOf('/'))
  const answer = await fetch(`${facts.base}${path}/Basic`, {
    method: 'POST',
    headers: {
      'content-type': 'text/xml; charset=utf-8', soapaction: `"${contract}/${operation}"`,
      authorization: `Basic ${Buffer.from(`${system.username}:${system.password}`).toString('base64')}`,
    },
    body: `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><${operation} xmlns="${namespace}">${parameters}</${operation}></s:Body></s:Envelope>`,
  })
  const text = await answer.text()
  assert.equal(answer.status, 200, text)
  return text
}

test('an event that is given back comes again', async () => {
  const manager = `${MANAGER}/IServiceBusManagerV2`
  const asked = '<eventSource>AddressRegister</eventSource><eventName>CommunicationPartyUpdated</eventName><userSystemIdent>rhea_test</userSystemIdent>'
  const queue = /QueueName>([^<]+)</.exec(await soap('/v2/servicebusmanager', manager, 'Subscribe', asked))[1]
  const user = busUser(office.her_id)
  const connection = rhea.create_container().connect({
    host: facts.amqp.host, port: facts.amqp.port, username: user.username, password: user.password, reconnect: false,
  })
  try {
    const receiver = connection.open_receiver({ source: { address: `/amq/queue/${queue}` }, credit_window: 0, autoaccept: false })
    receiver.add_credit(10)
    const seen = []
    const done = new Promise((resolve, fail) => {
      const timer = setTimeout(() => fail(new Error(`only ${seen.length} came within 30 s`)), 30_000)
      receiver.on('receiver_error', (context) => fail(new Error(String(context.receiver.error))))
      receiver.on('message', (context) => {
        const { eventName, herId } = context.message.application_properties
        if (herId !== office.her_id) return context.delivery.accept()
        seen.push({ eventName, herId, id: context.message.message_id, count: context.message.delivery_count ?? 0 })
        if (seen.length === 1) return context.delivery.release()
        context.delivery.accept()
        clearTimeout(timer)
        resolve()
      })
    })
    const attribute = `<herId>${office.her_id}</herId><code xmlns:c="http://register.nhn.no/Common"><c:CodeValue>r${Date.now()}</c:CodeValue><c:OID>1</c:OID></code>`
    await soap('/v1/AR', `${AR}/ICommunicationPartyService`, 'AddCustomAttribute', attribute)
    await done
    assert.equal(seen[0].eventName, 'CommunicationPartyUpdated')
    assert.equal(seen[0].id, seen[1].id, 'the same event')
    assert.ok(seen[1].count > seen[0].count, 'it says that it was delivered before')
  } finally {
    connection.close()
    await soap('/v2/servicebusmanager', manager, 'Unsubscribe', `<queueName>${queue}</queueName>`)
  }
})
