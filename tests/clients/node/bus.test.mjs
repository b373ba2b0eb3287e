// rhea (AMQP 1.0) on the message bus, over TLS and plain.
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { test } from 'node:test'
import rhea from 'rhea'
import { busUser, facts } from './facts.mjs'

const office = busUser(8900900)

function connect(options = {}) {
  const container = rhea.create_container()
  return container.connect({
    host: facts.amqp.host, port: facts.amqp.port, username: office.username, password: office.password,
    reconnect: false, ...options,
  })
}

const once = (emitter, ...events) => new Promise((done, fail) => {
  const timer = setTimeout(() => fail(new Error(`none of ${events} within 20 s`)), 20_000)
  for (const event of events) emitter.once(event, (context) => { clearTimeout(timer); done([event, context]) })
})

function envelope(toHerId, queue, change = {}) {
  const id = crypto.randomUUID()
  return {
    message_id: id, correlation_id: id, to: queue, reply_to: '8900900_async', subject: 'DIALOG_HELSEFAGLIG',
    content_type: 'application/pkcs7-mime; smime-type=signed-and-enveloped-data',
    application_properties: {
      fromHerId: '8900901', toHerId: String(toHerId), applicationTimeStamp: new Date().toISOString().slice(0, 19) + 'Z', ...change,
    },
    body: rhea.message.data_section(crypto.randomBytes(2000)),
  }
}

for (const transport of ['plain', 'tls']) {
  test(`sends and receives (${transport})`, async () => {
    const tls = transport === 'tls'
      ? { transport: 'tls', host: 'localhost', port: facts.amqp.tls_port, ca: [facts.ca_pem], servername: 'localhost' } : {}
    const connection = connect(tls)
    const sender = connection.open_sender({ target: { address: '/exchange/NHNTestServiceBus/8900900_async' } })
    await once(sender, 'sendable')
    // To itself: the bus carries it and keeps every byte, whatever is inside.
    const message = envelope(8900901, '8900900_async')
    sender.send(message)
    assert.equal((await once(sender, 'accepted', 'rejected', 'released'))[0], 'accepted')

    const receiver = connection.open_receiver({ source: { address: '/amq/queue/8900900_async' }, credit_window: 0, autoaccept: false })
    receiver.add_credit(50)
    const got = await new Promise((done, fail) => {
      const timer = setTimeout(() => fail(new Error('nothing came within 20 s')), 20_000)
      receiver.on('message', (context) => {
        context.delivery.accept()
        if (context.message.message_id === message.message_id) { clearTimeout(timer); done(context.message) }
      })
    })
    assert.deepEqual(Buffer.from(got.body.content), Buffer.from(message.body.content))
    assert.equal(got.application_properties.fromHerId, '8900901')
    connection.close()
  })
}

test('B01: an unknown queue is refused at the link, by name', async () => {
  const connection = connect()
  const sender = connection.open_sender({ target: { address: '4711_async' } })
  const [, context] = await once(sender, 'sender_error')
  assert.equal(context.sender.error.condition, 'amqp:not-found')
  assert.match(context.sender.error.description, /4711/)
  connection.close()
})

test("another's queue cannot be read", async () => {
  const connection = connect()
  const receiver = connection.open_receiver({ source: { address: '8900300_async' } })
  const [, context] = await once(receiver, 'receiver_error')
  assert.match(context.receiver.error.condition, /unauthorized|not-allowed/)
  connection.close()
})

test('a wrong password is refused', async () => {
  const connection = connect({ password: 'wrong' })
  connection.on('disconnected', () => {})
  const [event] = await once(connection, 'connection_error', 'connection_open', 'error', 'disconnected')
  assert.notEqual(event, 'connection_open')
})

test('B02: a missing toHerId comes back on the error queue', async () => {
  const connection = connect()
  const sender = connection.open_sender({ target: { address: '8900000_async' } })
  await once(sender, 'sendable')
  const message = envelope(8900008, '8900000_async')
  delete message.application_properties.toHerId
  sender.send(message)
  await once(sender, 'accepted')
  const receiver = connection.open_receiver({ source: { address: '8900900_error' }, credit_window: 0, autoaccept: false })
  receiver.add_credit(100)
  const error = await new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error('nothing on the error queue within 20 s')), 20_000)
    receiver.on('message', (context) => {
      context.delivery.accept()
      const properties = context.message.application_properties
      if (properties.originalMessageId === message.message_id) { clearTimeout(timer); done(properties) }
    })
  })
  assert.equal(error.errorCondition, 'transport:required-field-missing')
  assert.match(error.errorConditionData, /toHerId/)
  connection.close()
})
