// oauth4webapi, the low-level client under openid-client, used directly: PAR, code, DPoP, machine token, introspection, revocation,
// token exchange; and the test-token service against an API.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as oauth from 'oauth4webapi'
import { client, facts, personnel } from './facts.mjs'

const issuer = new URL(facts.helseid.issuer)
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer))
const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))

async function party(id) {
  const { private_jwk } = client(id)
  const key = await crypto.subtle.importKey('jwk', private_jwk, { name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign'])
  const strict = { [oauth.modifyAssertion]: (header) => { header.typ = 'client-authentication+jwt' } }
  const auth = oauth.PrivateKeyJwt({ key, kid: private_jwk.kid }, strict)
  const registration = { client_id: id }
  return { registration, auth, DPoP: oauth.DPoP(registration, await oauth.generateKeyPair('ES256')) }
}

/** Asks again with the nonce, as the library's users do. */
async function again(request) {
  try {
    return await request()
  } catch (e) {
    if (oauth.isDPoPNonceError(e)) return request()
    throw e
  }
}

async function machine(id, scope) {
  const { registration, auth, DPoP } = await party(id)
  return again(async () => oauth.processClientCredentialsResponse(as, registration,
    await oauth.clientCredentialsGrantRequest(as, registration, auth, { scope }, { DPoP })))
}

test('machine token, introspected and revoked', async () => {
  const tokens = await machine('demo-system-nordlys', 'nhn:kjernejournal/api')
  assert.equal(tokens.token_type, 'dpop')
  const api = await party('demo-api')
  const look = async () => oauth.processIntrospectionResponse(as, api.registration,
    await oauth.introspectionRequest(as, api.registration, api.auth, tokens.access_token))
  const found = await look()
  assert.deepEqual([found.active, found.client_id, found.aud], [true, 'demo-system-nordlys', 'nhn:kjernejournal'])
  const owner = await party('demo-system-nordlys')
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, owner.registration, owner.auth, tokens.access_token))
  assert.equal((await look()).active, false)
})

async function userToken(resource) {
  const { registration, auth, DPoP } = await party('demo-epj-nordlys')
  const verifier = oauth.generateRandomCodeVerifier()
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()]
  const redirect_uri = client('demo-epj-nordlys').redirect_uris[0]
  const parameters = {
    redirect_uri, response_type: 'code', scope: 'openid profile nhn:kjernejournal/api nhn:pps/provesvar-read', state, nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    acr_values: 'idp:testidp-oidc', test_pid: personnel('saether').pid,
  }
  const pushed = await again(async () => oauth.processPushedAuthorizationResponse(as, registration,
    await oauth.pushedAuthorizationRequest(as, registration, auth, parameters, { DPoP })))
  const url = new URL(as.authorization_endpoint)
  url.searchParams.set('client_id', registration.client_id)
  url.searchParams.set('request_uri', pushed.request_uri)
  const back = await fetch(url, { redirect: 'manual' })
  const callback = oauth.validateAuthResponse(as, registration, new URL(back.headers.get('location')), state)
  return again(async () => oauth.processAuthorizationCodeResponse(as, registration,
    await oauth.authorizationCodeGrantRequest(as, registration, auth, callback, redirect_uri, verifier,
      { DPoP, additionalParameters: { resource } }),
    { expectedNonce: nonce, requireIdToken: true }))
}

test('a code for tokens, and the token exchanged by the backend it was sent to', async () => {
  const tokens = await userToken('nhn:kjernejournal')
  assert.equal(oauth.getValidatedIdTokenClaims(tokens).name, personnel('saether').name)
  const { registration, auth, DPoP } = await party('demo-system-nordlys')
  const exchange = (scope) => again(async () => oauth.processGenericTokenEndpointResponse(as, registration,
    await oauth.genericTokenEndpointRequest(as, registration, auth, 'urn:ietf:params:oauth:grant-type:token-exchange', {
      subject_token: tokens.access_token, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token', scope,
    }, { DPoP })))
  const exchanged = await exchange('nhn:pps/provesvar-read')
  const [before, after] = [claims(tokens.access_token), claims(exchanged.access_token)]
  assert.deepEqual([after.aud, after.client_id, after.sub, after.sid], ['nhn:pps', 'demo-system-nordlys', before.sub, before.sid])
  assert.deepEqual([after.act.client_id, after['helseid://claims/client/original_client_id']], ['demo-system-nordlys', 'demo-epj-nordlys'])
  assert.ok(after.exp <= before.exp)
  assert.equal(exchanged.issued_token_type, 'urn:ietf:params:oauth:token-type:access_token')
  await assert.rejects(exchange('nhn:deft/api'), (e) => e.error === 'invalid_scope')
})

test('test tokens: a sound one opens the API, broken ones do not', async () => {
  const { url, api_key } = facts.helseid.test_tokens
  const api = `${facts.fhir.provesvar.replace(facts.base, facts.base_tls)}/metadata`
  const address = `${facts.fhir.provesvar.replace(facts.base, facts.base_tls)}/Observation`
  assert.equal((await fetch(api)).status, 200)
  const call = async (change) => {
    const request = {
      audience: 'nhn:pps', createDPoPTokenWithDPoPProof: true, clientClaimsParameters: { scope: ['nhn:pps/provesvar-read'] },
      userClaimsParameters: { pid: personnel('saether').pid }, getHprNumberFromHprregisteret: true,
      dPoPProofParameters: { htmClaimValue: 'GET', htuClaimValue: address }, ...change,
    }
    const made = await fetch(url, { method: 'POST', headers: { 'x-auth-key': api_key, 'content-type': 'application/json' }, body: JSON.stringify(request) })
    const { isError, successResponse, errorResponse } = await made.json()
    assert.equal(isError, false, JSON.stringify(errorResponse))
    const headers = { authorization: `DPoP ${successResponse.accessTokenJwt}`, dpop: successResponse.dPoPProof }
    return (await fetch(`${address}?patient=${facts.persons[0].fhir_id.provesvar}`, { headers })).status
  }
  assert.notEqual(await call({}), 401)
  for (const broken of [
    { signJwtWithInvalidSigningKey: true }, { setInvalidIssuer: true }, { setInvalidAudience: true },
    { expirationParameters: { setExpirationTimeAsExpired: true } },
    ...[...Array(13).keys()].map((n) => ({
      dPoPProofParameters: { htmClaimValue: 'GET', htuClaimValue: address, invalidDPoPProofParameters: n + 1 },
    })),
  ]) assert.equal(await call(broken), 401, JSON.stringify(broken))
  const refused = await fetch(url, { method: 'POST', headers: { 'x-auth-key': 'wrong' }, body: '{}' })
  assert.equal(refused.status, 401)
})
