// What every client needs to know: the file that the demo writes (HELSENAV_FACTS).
import fs from 'node:fs'

const file = process.env.HELSENAV_FACTS
if (!file) throw new Error('set HELSENAV_FACTS to the facts.json of a running demo')
export const facts = JSON.parse(fs.readFileSync(file, 'utf8'))

export const client = (id) => facts.helseid.clients.find((c) => c.client_id === id)
export const personnel = (key) => facts.personnel.find((p) => p.key === key)
export const person = (story) => facts.persons.find((p) => p.story === story)
export const busUser = (herId) => facts.amqp.users.find((u) => u.her_id === herId)
