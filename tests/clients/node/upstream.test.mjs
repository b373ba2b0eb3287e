// A foreign OpenID provider (npm oidc-provider) as an identity provider of HelseID: the hub is the relying party, with PAR, PKCE,
// private_key_jwt and iss; levels, single sign-on, step-up, refusals and logout. Needs a demo of its own: HELSENAV_BIN.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import * as oidc from 'openid-client'
import Provider from 'oidc-provider'

const binary = process.env.HELSENAV_BIN
const options = { skip: binary ? false : 'HELSENAV_BIN names no hub to start' }
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'helsenav-upstream.'))
const file = (name) => path.join(folder, name)
// What the provider says at the next login.
const next = { pid: '', acr: 'idporten-loa-high', refuse: false }
const seen = []
let hub, facts, server, handler, idp

const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))

function foreign(issuer, jwk, redirectUris, out) {
  const provider = new Provider(issuer, {
    clients: [{
      client_id: 'helsenav', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: [jwk] },
      redirect_uris: redirectUris, post_logout_redirect_uris: out, response_types: ['code'], grant_types: ['authorization_code'],
      require_pushed_authorization_requests: true,
    }],
    acrValues: ['idporten-loa-high', 'idporten-loa-substantial'],
    claims: { openid: ['sub', 'pid'], profile: ['name'], acr: null, auth_time: null },
    conformIdTokenClaims: false,
    cookies: { keys: ['only for this test'] },
    features: { pushedAuthorizationRequests: { enabled: true }, devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, pid: id, name: 'Somebody' }) }),
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId })
      grant.addOIDCScope('openid profile')
      await grant.save()
      return grant
    },
  })
  const callback = provider.callback()
  return async (request, response) => {
    if (!request.url.startsWith('/interaction/')) return callback(request, response)
    const { params, prompt } = await provider.interactionDetails(request, response)
    seen.push({ ...params, prompt: prompt.name })
    const result = next.refuse ? { error: 'access_denied' } : { login: { accountId: next.pid, acr: next.acr, remember: true } }
    return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false })
  }
}

/** A browser that keeps cookies per origin and follows redirects until one leaves for `stop`. */
class Browser {
  jar = new Map()
  async get(url, init = {}) {
    const origin = new URL(url).origin
    const cookies = this.jar.get(origin) ?? new Map()
    const headers = { ...init.headers, cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') }
    const answer = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie)
      if (value && !/max-age=0|expires=Thu, 01 Jan 1970/i.test(cookie)) cookies.set(name, value)
      else cookies.delete(name)
    }
    this.jar.set(origin, cookies)
    return answer
  }
  async follow(url, stop) {
    for (let hop = 0; hop < 12; hop++) {
      if (String(url).startsWith(stop)) return new URL(url)
      const answer = await this.get(url)
      const location = answer.headers.get('location')
      if (!location) return { status: answer.status, url, text: await answer.text() }
      url = new URL(location, url).href
    }
    throw new Error('too many redirects')
  }
}

before(async () => {
  if (!binary) return
  server = http.createServer((request, response) => handler(request, response))
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready))
  idp = `http://127.0.0.1:${server.address().port}`
  const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign'])
  const secret = { ...await crypto.subtle.exportKey('jwk', pair.privateKey), kid: 'hub', alg: 'ES256' }
  delete secret.key_ops
  delete secret.ext
  const { d, ...jwk } = secret
  fs.writeFileSync(file('key.json'), JSON.stringify(secret))
  fs.writeFileSync(file('idps.toml'),
    `[[provider]]\nid = "idporten-oidc"\nname = "ID-porten"\nissuer = "${idp}"\nclient_id = "helsenav"\nkey = "key.json"\n`)
  fs.writeFileSync(file('hub.toml'), `[helseid]\nidentity_providers = "${file('idps.toml')}"\n`)
  const args = ['demo', '--config', file('hub.toml'), '--data', file('data'), '--listen', '127.0.0.1:0', '--population', '40',
    '--anchor', '2026-11-23', '--no-story']
  hub = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [hub.stdout, hub.stderr]) stream.on('data', (text) => { said += text })
  for (let tries = 0; !said.includes('Helsenav is ready'); tries++) {
    assert.ok(tries < 1200 && hub.exitCode === null, `the demo does not start\n${said.slice(-2000)}`)
    await new Promise((wait) => setTimeout(wait, 100))
  }
  facts = JSON.parse(fs.readFileSync(file('data/facts.json')))
  // This process talks to this one demo, whose CA it learns only now.
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
  const { issuer, browser_http } = facts.helseid
  const back = [issuer, browser_http].map((origin) => `${origin}/signin/idporten-oidc`)
  handler = foreign(idp, jwk, back, [issuer, browser_http].map((origin) => `${origin}/signout/done`))
})

after(() => {
  hub?.kill('SIGINT')
  server?.close()
  server?.closeAllConnections()
  fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
})

async function configure() {
  const { client_id, private_jwk } = facts.helseid.clients.find((c) => c.client_id === 'demo-epj-nordlys')
  const key = await crypto.subtle.importKey('jwk', private_jwk, { name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign'])
  const config = await oidc.discovery(new URL(facts.helseid.issuer), client_id, {}, oidc.PrivateKeyJwt({ key, kid: private_jwk.kid }))
  return { config, DPoP: oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair()) }
}

const redirect_uri = 'http://127.0.0.1:8765/callback'

async function login(browser, more) {
  const { config, DPoP } = await configure()
  const [verifier, state, nonce] = [oidc.randomPKCECodeVerifier(), oidc.randomState(), oidc.randomNonce()]
  const url = await oidc.buildAuthorizationUrlWithPAR(config, {
    redirect_uri, scope: 'openid profile helseid://scopes/identity/pid helseid://scopes/identity/security_level', state, nonce,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256', ...more,
  })
  const back = await browser.follow(url.href, redirect_uri)
  if (!(back instanceof URL)) return back
  return oidc.authorizationCodeGrant(config, back,
    { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true }, undefined, { DPoP })
}

const outside = { acr_values: 'idp:idporten-oidc Level3' }
const high = { acr_values: 'idp:idporten-oidc Level4' }

test('a doctor logs in at a foreign provider; single sign-on; step-up; logout there too', options, async () => {
  const saether = facts.personnel.find((p) => p.key === 'saether')
  Object.assign(next, { pid: saether.pid, acr: 'idporten-loa-substantial', refuse: false })
  const browser = new Browser()
  const first = (await login(browser, outside)).claims()
  assert.deepEqual([first.idp, first.amr, first.name], ['idporten-oidc', ['external'], saether.name])
  assert.equal(first['helseid://claims/identity/pid'], saether.pid)
  assert.equal(first['helseid://claims/identity/security_level'], '3')
  assert.equal(seen.length, 1)
  assert.deepEqual([seen[0].acr_values, seen[0].code_challenge_method], ['idporten-loa-substantial', 'S256'])

  // Silent: the hub does not ask the provider again.
  const silent = (await login(browser, outside)).claims()
  assert.equal(silent.sid, first.sid)
  assert.equal(seen.length, 1)

  // Level 4 does, and believes the provider only when it says so.
  await assert.rejects(login(new Browser(), high), (e) => e.error === 'access_denied')
  next.acr = 'idporten-loa-high'
  const stepped = await login(browser, { ...high, prompt: 'login' })
  assert.equal(stepped.claims()['helseid://claims/identity/security_level'], '4')
  assert.equal(stepped.claims().acr, 'idp:idporten-oidc')
  assert.notEqual(stepped.claims().sid, first.sid)

  const out = `${facts.helseid.issuer}/connect/endsession?id_token_hint=${stepped.id_token}`
  const form = await browser.follow(out, 'nowhere:')
  assert.ok(form.url.startsWith(`${idp}/session/end`), form.url)
  const [, xsrf] = /name="xsrf" value="([^"]+)"/.exec(form.text)
  const left = await browser.get(`${idp}/session/end/confirm`, {
    method: 'POST', body: new URLSearchParams({ xsrf, logout: 'yes' }),
  })
  assert.ok(left.headers.get('location').startsWith(`${facts.helseid.issuer}/signout/done?state=`), left.headers.get('location'))
  assert.equal((await browser.get(left.headers.get('location'))).status, 200)
  const before = seen.length
  await login(browser, high)
  assert.equal(seen.length, before + 1, 'after logout the provider is asked again')
})

test('refusals at the provider reach the client, with state and iss', options, async () => {
  const saether = facts.personnel.find((p) => p.key === 'saether')
  Object.assign(next, { pid: saether.pid, acr: 'idporten-loa-high', refuse: true })
  await assert.rejects(login(new Browser(), high), (e) => e.error === 'access_denied')
  // Somebody the person register does not have.
  Object.assign(next, { pid: '00000000000', refuse: false })
  await assert.rejects(login(new Browser(), high), (e) => e.error === 'access_denied')
})

test('the page offers the provider beside the test provider; a provider that is down leads there', options, async () => {
  const page = await login(new Browser(), {})
  assert.equal(page.status, 200)
  assert.match(page.text, /ID-porten[^]*Test IDP/)
  const provider = handler
  handler = (_, response) => { response.writeHead(503); response.end() }
  try {
    const down = await login(new Browser(), high)
    assert.equal(down.status, 200)
    assert.match(down.text, /role="alert"/)
  } finally {
    handler = provider
  }
})
