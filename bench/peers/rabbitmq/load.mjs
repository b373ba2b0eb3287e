// The same load on any AMQP 1.0 broker: one process sends and receives messages of 10 KB, durable, each acknowledged both ways.
//
//   node load.mjs --facts FILE                         our hub: the vendor's queue of a demo
//   node load.mjs --broker HOST:PORT --user U --password P --address /amq/queue/bench
//   [--messages 50000] [--bytes 10240] [--senders 1] [--receivers 1] [--credit 500] [--json]
//
// A message counts when its receiver has it; the run is over when the sender has the last acknowledgment as well.
import rhea from 'rhea'
import fs from 'node:fs'
import crypto from 'node:crypto'

const given = Object.fromEntries(process.argv.slice(2).join(' ').split('--').slice(1).map((text) => {
  const [name, value] = text.trim().split(' ')
  return [name, value ?? 'true']
}))
const number = (name, otherwise) => Number(given[name] ?? otherwise)
const total = number('messages', 50_000)
const bytes = number('bytes', 10_240)
const senders = number('senders', 1)
const receivers = number('receivers', 1)
const credit = number('credit', 500)

let options, address, toHerId
if (given.facts) {
  const facts = JSON.parse(fs.readFileSync(given.facts))
  const me = facts.organisations.find((one) => one.key === 'vaar-epj')
  const user = facts.amqp.users.find((one) => one.her_id === me.her_id)
  address = `${me.her_id}_async`
  toHerId = me.parties[0].her_id
  options = { host: facts.amqp.host, port: facts.amqp.port, username: user.username, password: user.password }
} else {
  const [host, port] = given.broker.split(':')
  address = given.address
  toHerId = 8900901
  options = { host, port: Number(port), username: given.user, password: given.password }
}

const body = rhea.message.data_section(crypto.randomBytes(bytes))
const make = () => {
  const id = crypto.randomUUID()
  return {
    message_id: id, correlation_id: id, to: address, reply_to: address, subject: 'DIALOG_NOTAT', durable: true,
    content_type: 'application/pkcs7-mime; smime-type=signed-and-enveloped-data',
    application_properties: {
      fromHerId: String(toHerId), toHerId: String(toHerId), applicationTimeStamp: new Date().toISOString().replace(/\.\d+/, ''),
      'X-MessageInfo-MsgId': id,
    },
    body,
  }
}

const container = rhea.create_container()
const connect = () => container.connect({ ...options, reconnect: false })
let sent = 0, accepted = 0, got = 0, began = 0, last = 0
const seen = new Set()
const connections = []

const fail = (what) => { console.error(what); process.exit(1) }
container.on('rejected', (e) => fail(`rejected: ${JSON.stringify(e.delivery.remote_state?.error)}`))
container.on('released', () => fail('released'))
container.on('connection_error', (e) => fail(`connection: ${e.connection.error}`))
container.on('sender_error', (e) => fail(`sender: ${e.sender.error}`))
container.on('receiver_error', (e) => fail(`receiver: ${e.receiver.error}`))
container.on('disconnected', (e) => { if (got < total) fail(`disconnected: ${e.error ?? ''}`) })

container.on('sendable', (e) => {
  began ||= performance.now()
  while (sent < total && e.sender.sendable()) {
    sent += 1
    e.sender.send(make())
  }
})
container.on('accepted', () => { accepted += 1; finish() })
container.on('message', (e) => {
  seen.add(e.message.message_id)
  got += 1
  if (got >= total) last = performance.now()
  finish()
})

function finish() {
  if (got < total || accepted < total) return
  const seconds = (performance.now() - began) / 1000
  if (seen.size !== total) fail(`${seen.size} different messages of ${total}`)
  const rate = total / seconds
  if (given.json) console.log(JSON.stringify({ messages: total, bytes, seconds, rate }))
  else console.log(`${total} messages of ${bytes} B in and out in ${seconds.toFixed(2)} s: ${rate.toFixed(0)}/s`)
  // Acknowledgments of the last messages go out before the connection ends.
  setTimeout(() => { for (const one of connections) one.close() }, 200)
  setTimeout(() => process.exit(0), 1000)
}

for (let n = 0; n < Math.max(senders, receivers); n++) {
  const connection = connect()
  connections.push(connection)
  if (n < receivers) connection.open_receiver({ source: address, credit_window: credit, autoaccept: true })
  if (n < senders) connection.open_sender({ target: address })
}
