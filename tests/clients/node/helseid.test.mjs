// openid-client (certified relying party) against HelseID: PAR, PKCE, DPoP, private_key_jwt, refresh, machine tokens;
// then the clinical repositories with what it was given.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as oidc from 'openid-client'
import { client, facts, person, personnel } from './facts.mjs'

const strict = { [oidc.modifyAssertion]: (header) => { header.typ = 'client-authentication+jwt' } }

async function configure(id, options) {
  const { client_id, private_jwk } = client(id)
  const key = await crypto.subtle.importKey('jwk', private_jwk, { name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign'])
  const auth = oidc.PrivateKeyJwt({ key, kid: private_jwk.kid }, options)
  const config = await oidc.discovery(new URL(facts.helseid.issuer), client_id, {}, auth)
  oidc.enableNonRepudiationChecks(config)
  return { config, DPoP: oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair()) }
}

const scope = [
  'openid', 'profile', 'offline_access', 'helseid://scopes/identity/pid', 'helseid://scopes/identity/security_level',
  'helseid://scopes/hpr/hpr_number', 'nhn:kjernejournal/api', 'nhn:pps/provesvar-read',
].join(' ')

async function login(config, DPoP, pid, more = '') {
  const redirect_uri = client('demo-epj-nordlys').redirect_uris[0]
  const [verifier, state, nonce] = [oidc.randomPKCECodeVerifier(), oidc.randomState(), oidc.randomNonce()]
  const url = await oidc.buildAuthorizationUrlWithPAR(config, {
    redirect_uri, scope: `${scope} ${more}`.trim(), state, nonce,
    code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    acr_values: 'idp:testidp-oidc', test_pid: pid,
  }, { DPoP })
  assert.equal(url.searchParams.size, 2, 'only client_id and request_uri travel through the browser')
  const back = await fetch(url, { redirect: 'manual' })
  return oidc.authorizationCodeGrant(config, new URL(back.headers.get('location')),
    { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true },
    { resource: 'nhn:kjernejournal' }, { DPoP })
}

const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))

for (const [mode, options] of [['as it comes', undefined], ['strict', strict]]) {
  test(`machine token (${mode})`, async () => {
    const { config, DPoP } = await configure('demo-system-nordlys', options)
    const tokens = await oidc.clientCredentialsGrant(config, { scope: 'nhn:pps/provesvar-read' }, { DPoP })
    assert.equal(tokens.token_type, 'dpop')
    assert.equal(claims(tokens.access_token).aud, 'nhn:pps')
    assert.ok(claims(tokens.access_token).cnf.jkt)
  })
}

test('a scope that was not granted is refused with words', async () => {
  const { config, DPoP } = await configure('demo-system-nordlys')
  await assert.rejects(oidc.clientCredentialsGrant(config, { scope: 'nhn:deft/api' }, { DPoP }),
    (e) => e.error === 'invalid_scope' && e.error_description.length > 10)
})

test('a doctor logs in, looks up a patient, refreshes, logs out', async () => {
  const saether = personnel('saether')
  const { config, DPoP } = await configure('demo-epj-nordlys')
  const tokens = await login(config, DPoP, saether.pid)
  assert.equal(tokens.claims().name, saether.name)
  assert.equal(claims(tokens.access_token)['helseid://claims/hpr/hpr_number'], saether.hpr_number)
  const info = await oidc.fetchUserInfo(config, tokens.access_token, tokens.claims().sub, { DPoP })
  assert.equal(info['helseid://claims/identity/pid'], saether.pid)

  const hansen = person('hjerte')
  const headers = new Headers({ 'nhn-access-basis': 'SAMTYKKE', 'nhn-user-role': 'LE' })
  // The library calls https only.
  const url = new URL(`${facts.fhir.provesvar.replace(facts.base, facts.base_tls)}/Observation?patient=${hansen.fhir_id.provesvar}`)
  const answer = await oidc.fetchProtectedResource(config, tokens.access_token, url, 'GET', undefined, headers, { DPoP })
  assert.equal(answer.status, 200)
  assert.equal((await answer.json()).resourceType, 'Bundle')

  const next = await oidc.refreshTokenGrant(config, tokens.refresh_token, { resource: 'nhn:pps' }, { DPoP })
  assert.equal(claims(next.access_token).aud, 'nhn:pps')
  assert.notEqual(next.refresh_token, tokens.refresh_token)
  await oidc.tokenRevocation(config, next.refresh_token)
  await assert.rejects(oidc.refreshTokenGrant(config, next.refresh_token, { resource: 'nhn:pps' }, { DPoP }),
    (e) => e.error === 'invalid_grant')
})

test('a suspended authorisation logs in, and gets no record', async () => {
  const svendsen = personnel('svendsen')
  const { config, DPoP } = await configure('demo-epj-nordlys')
  const tokens = await login(config, DPoP, svendsen.pid)
  const headers = new Headers({ 'nhn-access-basis': 'SAMTYKKE', 'nhn-user-role': 'TL' })
  // The library calls https only.
  const url = new URL(`${facts.fhir.provesvar.replace(facts.base, facts.base_tls)}/Observation?patient=${person('hjerte').fhir_id.provesvar}`)
  const answer = await oidc.fetchProtectedResource(config, tokens.access_token, url, 'GET', undefined, headers, { DPoP })
  assert.equal(answer.status, 403)
  assert.equal((await answer.json()).resourceType, 'OperationOutcome')
})

test('SMART scopes beside the national one narrow what it opens', async () => {
  const hansen = person('hjerte')
  const look = async (more, path) => {
    const { config, DPoP } = await configure('demo-epj-nordlys')
    const tokens = await login(config, DPoP, personnel('saether').pid, more)
    if (more) assert.ok(claims(tokens.access_token).scope.includes(more.split(' ')[0]))
    const headers = new Headers({ 'nhn-access-basis': 'SAMTYKKE', 'nhn-user-role': 'LE' })
    const url = new URL(`${facts.fhir.provesvar.replace(facts.base, facts.base_tls)}/${path}`)
    const answer = await oidc.fetchProtectedResource(config, tokens.access_token, url, 'GET', undefined, headers, { DPoP })
    return { status: answer.status, body: await answer.json() }
  }
  const observations = `Observation?patient=${hansen.fhir_id.provesvar}`
  const whole = await look('', observations)
  assert.ok(whole.body.total > 1)
  const { code } = whole.body.entry[0].resource.code.coding[0]
  const narrowed = await look(`user/Observation.rs?code=${code}`, observations)
  assert.equal(narrowed.status, 200)
  assert.ok(narrowed.body.total >= 1 && narrowed.body.total < whole.body.total, `${narrowed.body.total} of ${whole.body.total}`)
  assert.ok(narrowed.body.entry.every((e) => e.resource.code.coding.some((c) => c.code === code)))
  assert.equal((await look('patient/*.read', observations)).body.total, whole.body.total)
  const other = await look('user/DiagnosticReport.rs', observations)
  assert.deepEqual([other.status, other.body.issue[0].code], [403, 'forbidden'])
  assert.equal((await look('user/DiagnosticReport.rs', `Patient/${hansen.fhir_id.provesvar}`)).status, 403)
})
