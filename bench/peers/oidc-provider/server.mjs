// oidc-provider with the request shape of `helsenav bench helseid`: client_credentials, private_key_jwt, DPoP with a nonce
// demanded, JWT access tokens. Arguments: the client's public JWK, the signing algorithm (ES256 or RS256), the number of
// worker processes. Prints its address and answers until it is killed.
import cluster from 'node:cluster'
import { createServer } from 'node:http'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import Provider from 'oidc-provider'

const [clientJwk, alg, workers] = process.argv.slice(2)

if (cluster.isPrimary) {
  const pair =
    alg === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address()
    probe.close(() => {
      const shared = {
        BENCH_PORT: port,
        BENCH_KEY: JSON.stringify({ ...pair.privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: 'bench' }),
        BENCH_NONCE: randomBytes(32).toString('base64'),
      }
      const count = Number(workers) || 1
      let ready = 0
      for (let n = 0; n < count; n++) {
        cluster.fork(shared).on('listening', () => {
          if (++ready === count) console.log(`http://127.0.0.1:${port}`)
        })
      }
    })
  })
} else {
  const issuer = `http://127.0.0.1:${process.env.BENCH_PORT}`
  const provider = new Provider(issuer, {
    jwks: { keys: [JSON.parse(process.env.BENCH_KEY)] },
    scopes: ['openid', 'nhn:kjernejournal/api'],
    clientAuthMethods: ['private_key_jwt'],
    clients: [
      {
        client_id: 'bench',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        token_endpoint_auth_method: 'private_key_jwt',
        token_endpoint_auth_signing_alg: 'ES256',
        id_token_signed_response_alg: alg,
        scope: 'nhn:kjernejournal/api',
        jwks: { keys: [JSON.parse(clientJwk)] },
      },
    ],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: {
        enabled: true,
        nonceSecret: Buffer.from(process.env.BENCH_NONCE, 'base64'),
        requireNonce: () => true,
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:nhn:kjernejournal',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'nhn:kjernejournal/api',
          audience: 'nhn:kjernejournal',
          accessTokenTTL: 600,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg } },
        }),
      },
    },
  })
  createServer(provider.callback()).listen(Number(process.env.BENCH_PORT), '127.0.0.1')
}
