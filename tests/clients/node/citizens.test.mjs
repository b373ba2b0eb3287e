// openid-client, unmodified, against the citizens' issuer: PKCE and private_key_jwt, with and without PAR, form_post,
// refresh, extend, introspect, revoke, logout; and an application that proves itself by the certificate of its instance.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import https from 'node:https'
import os from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import * as oidc from 'openid-client'
import { facts, person } from './facts.mjs'

const sts = facts.citizen_sts
const client = (id) => sts.clients.find((c) => c.client_id === id)
const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))
const es256 = { name: 'ECDSA', namedCurve: 'P-256' }

async function configure(id) {
  const { client_id, private_jwk } = client(id)
  const key = await crypto.subtle.importKey('jwk', private_jwk, es256, true, ['sign'])
  const config = await oidc.discovery(new URL(sts.issuer), client_id, {}, oidc.PrivateKeyJwt({ key, kid: private_jwk.kid }))
  oidc.enableNonRepudiationChecks(config)
  return config
}

async function parameters(id, more) {
  const verifier = oidc.randomPKCECodeVerifier()
  const sent = {
    redirect_uri: client(id).redirect_uris[0], scope: 'openid offline_access', state: oidc.randomState(), nonce: oidc.randomNonce(),
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ui_locales: 'nb', ...more,
  }
  return { sent, checks: { pkceCodeVerifier: verifier, expectedState: sent.state, expectedNonce: sent.nonce, idTokenExpected: true } }
}

const visit = (url, options = {}) => fetch(url, { redirect: 'manual', ...options })

async function login(config, id, more) {
  const { sent, checks } = await parameters(id, more)
  const url = await oidc.buildAuthorizationUrlWithPAR(config, sent)
  const back = await visit(url)
  return oidc.authorizationCodeGrant(config, new URL(back.headers.get('location')), checks)
}

const someone = () => facts.citizen_logins[0]

test('a tool logs a citizen in, refreshes, prolongs, introspects, revokes, logs out', async () => {
  const config = await configure('demo-verktoy')
  const tokens = await login(config, 'demo-verktoy', { test_pid: someone().pid })
  assert.equal(tokens.token_type, 'bearer')
  const id = tokens.claims()
  assert.deepEqual([id.iss, id.pid, id.act.pid, id.acr, id.name], [sts.issuer, someone().pid, someone().pid, 'Level4', someone().name])
  assert.equal(id.act.sub, id.sub)

  const seen = await oidc.tokenIntrospection(config, tokens.access_token)
  assert.deepEqual([seen.active, seen.pid, seen.iss], [true, someone().pid, sts.issuer])

  const next = await oidc.refreshTokenGrant(config, tokens.refresh_token)
  assert.notEqual(next.refresh_token, tokens.refresh_token)
  assert.equal(next.claims().sub, id.sub)

  // The library has no word for it: the same authentication, one more endpoint.
  const { extend_endpoint } = config.serverMetadata()
  const form = new URLSearchParams({ refresh_token: next.refresh_token })
  const { private_jwk } = client('demo-verktoy')
  const key = await crypto.subtle.importKey('jwk', private_jwk, es256, true, ['sign'])
  await oidc.PrivateKeyJwt(key)({ ...config.serverMetadata() }, config.clientMetadata(), form, new Headers())
  const longer = await visit(extend_endpoint, { method: 'POST', body: form })
  assert.equal(longer.status, 200)
  assert.ok((await longer.json()).rt_expires_in > next.rt_expires_in)

  await oidc.tokenRevocation(config, next.access_token)
  assert.equal((await oidc.tokenIntrospection(config, next.access_token)).active, false)

  const [post_logout_redirect_uri] = client('demo-verktoy').post_logout_redirect_uris
  const out = await visit(oidc.buildEndSessionUrl(config, { id_token_hint: next.id_token, post_logout_redirect_uri, state: 'over' }))
  assert.equal(out.headers.get('location'), `${post_logout_redirect_uri}?state=over`)
  await assert.rejects(oidc.refreshTokenGrant(config, next.refresh_token), (e) => e.error === 'invalid_grant')
})

test('a login through the pages, not pushed, answered by form_post', async () => {
  const config = await configure('demo-verktoy')
  const { sent, checks } = await parameters('demo-verktoy', { response_mode: 'form_post' })
  const begun = await visit(oidc.buildAuthorizationUrl(config, sent))
  assert.equal(begun.status, 303)
  const cookie = begun.headers.getSetCookie().map((c) => c.split(';')[0]).join('; ')
  const at = new URL(begun.headers.get('location'), begun.url)
  const page = await (await visit(at, { headers: { cookie } })).text()
  assert.match(page, /lang="nb"/)
  const csrf = page.match(/name="csrf" value="([^"]+)"/)[1]
  const submit = (url, pid) => visit(url, { method: 'POST', headers: { cookie }, body: new URLSearchParams({ csrf, pid }) })
  let answer = await submit(at, someone().pid)
  if (answer.status === 303) answer = await submit(new URL(answer.headers.get('location'), at), someone().pid)
  assert.equal(answer.status, 200)
  const html = await answer.text()
  const values = [...html.matchAll(/name="([^"]+)" value="([^"]*)"/g)].map(([, name, value]) => [name, value])
  const posted = new Request(sent.redirect_uri, { method: 'POST', body: new URLSearchParams(values) })
  const tokens = await oidc.authorizationCodeGrant(config, posted, checks)
  assert.equal(tokens.claims().pid, someone().pid)
})

test('somebody acts for her father, and the power of attorney is a token of its own', async () => {
  const config = await configure('demo-verktoy')
  const giver = person('hjerte')
  const holder = sts.representatives.find((r) => r.represents === giver.pid)
  const tokens = await login(config, 'demo-verktoy', { test_pid: holder.pid, test_represented_pid: giver.pid })
  const id = tokens.claims()
  assert.deepEqual([id.pid, id.act.pid, id.act.relation], [giver.pid, holder.pid, 'fullmakt'])
  const answer = await visit(sts.attorney_token, { method: 'POST', headers: { authorization: `Bearer ${tokens.access_token}` } })
  assert.equal(answer.status, 200)
  const power = claims((await answer.json()).fullmaktToken)
  assert.deepEqual([power.pid, power.act.pid, power.areas], [giver.pid, holder.pid, [1, 3]])
  await assert.rejects(login(config, 'demo-verktoy', { test_pid: giver.pid, test_represented_pid: holder.pid }),
    (e) => e.error === 'access_denied')
})

test('a tool without the right learns no number', async () => {
  const config = await configure('demo-verktoy-liten')
  const tokens = await login(config, 'demo-verktoy-liten', { test_pid: someone().pid, scope: 'openid' })
  for (const token of [tokens.id_token, tokens.access_token]) assert.ok(!JSON.stringify(claims(token)).includes(someone().pid))
  assert.equal(tokens.refresh_token, undefined)
})

test('a token of citizens opens nothing of personnel', async () => {
  const config = await configure('demo-verktoy')
  const { access_token } = await login(config, 'demo-verktoy', { test_pid: someone().pid })
  const apis = [...['kjernejournal', 'provesvar', 'dokumenter'].map((name) => `${facts.fhir[name]}/Patient`), `${facts.endpoints.selvbetjening}/v1/client`]
  for (const api of apis) {
    for (const scheme of ['Bearer', 'DPoP']) {
      const answer = await visit(api, { headers: { authorization: `${scheme} ${access_token}` } })
      assert.equal(answer.status, 401, `${scheme} ${api}`)
    }
  }
  const info = await visit(`${facts.helseid.issuer}/connect/userinfo`, { headers: { authorization: `Bearer ${access_token}` } })
  assert.equal(info.status, 401)
})

test('an application is bound to the certificate of its instance', async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'instance-'))
  try {
    const instance = (name) => {
      const [key, cert] = ['key', 'crt'].map((end) => path.join(folder, `${name}.${end}`))
      execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
        '-subj', `/CN=${name}`, '-keyout', key, '-out', cert], { stdio: 'ignore' })
      return new https.Agent({ key: fs.readFileSync(key), cert: fs.readFileSync(cert), ca: facts.ca_pem })
    }
    const call = (agent) => (url, { method, headers, body }) => new Promise((resolve, reject) => {
      const request = https.request(url, { agent, method, headers: Object.fromEntries(new Headers(headers)) }, (answer) => {
        const parts = []
        answer.on('data', (part) => parts.push(part))
        answer.on('end', () => resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: answer.headers })))
      })
      request.on('error', reject)
      request.end(body ? body.toString() : undefined)
    })
    const configured = async (agent) => {
      const metadata = { use_mtls_endpoint_aliases: true }
      const config = await oidc.discovery(new URL(sts.issuer), 'demo-app', metadata, oidc.TlsClientAuth(), { [oidc.customFetch]: call(agent) })
      config[oidc.customFetch] = call(agent)
      return config
    }
    const [one, other] = [await configured(instance('one')), await configured(instance('other'))]
    const { sent, checks } = await parameters('demo-app', { test_pid: someone().pid })
    const url = await oidc.buildAuthorizationUrlWithPAR(one, sent)
    const back = new URL((await visit(url)).headers.get('location'))
    await assert.rejects(oidc.authorizationCodeGrant(other, back, checks), (e) => e.error === 'invalid_grant')
    const tokens = await oidc.authorizationCodeGrant(one, back, checks)
    assert.equal(typeof claims(tokens.access_token).cnf['x5t#S256'], 'string')
    await assert.rejects(oidc.refreshTokenGrant(other, tokens.refresh_token), (e) => e.error === 'invalid_grant')
    assert.ok((await oidc.refreshTokenGrant(one, tokens.refresh_token)).access_token)
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
})
