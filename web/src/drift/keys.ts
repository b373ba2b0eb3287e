/** Keys of clients, made in the browser: the private half is handed to the user and never sent. */

export type KeyKind = 'p256' | 'p384' | 'rsa4096';

const KINDS: Record<KeyKind, { make: EcKeyGenParams | RsaHashedKeyGenParams; alg: string }> = {
  p256: { make: { name: 'ECDSA', namedCurve: 'P-256' }, alg: 'ES256' },
  p384: { make: { name: 'ECDSA', namedCurve: 'P-384' }, alg: 'ES384' },
  rsa4096: {
    make: { name: 'RSA-PSS', modulusLength: 4096, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' },
    alg: 'PS256',
  },
};

/** A new key pair as JWKs. */
export interface KeyPair {
  publicJwk: JsonWebKey & { kid: string };
  privateJwk: JsonWebKey & { kid: string };
}

/** Whether this page may make keys: browsers offer it over https and on this machine only. */
export function canMakeKeys(): boolean {
  return typeof crypto !== 'undefined' && crypto.subtle !== undefined;
}

/** Makes a key pair; its `kid` is the RFC 7638 thumbprint. */
export async function makeKeyPair(kind: KeyKind): Promise<KeyPair> {
  const { make, alg } = KINDS[kind];
  const pair = (await crypto.subtle.generateKey(make, true, ['sign', 'verify'])) as CryptoKeyPair;
  const [pub, secret] = await Promise.all([crypto.subtle.exportKey('jwk', pair.publicKey), crypto.subtle.exportKey('jwk', pair.privateKey)]);
  const kid = await thumbprint(pub);
  return { publicJwk: { ...publicHalf(pub), alg, use: 'sig', kid } as KeyPair['publicJwk'], privateJwk: { ...bare(secret), alg, use: 'sig', kid } };
}

const PUBLIC_MEMBERS = ['kty', 'crv', 'x', 'y', 'n', 'e'] as const;

/** Only what is public, named one by one: a member that this page does not know is never sent. */
function publicHalf(jwk: JsonWebKey): JsonWebKey {
  return Object.fromEntries(PUBLIC_MEMBERS.flatMap((name) => (jwk[name] === undefined ? [] : [[name, jwk[name]]])));
}

/** Without the browser's own bookkeeping, which other libraries refuse. */
function bare(jwk: JsonWebKey): JsonWebKey {
  const { ext: _ext, key_ops: _operations, alg: _alg, ...rest } = jwk;
  return rest;
}

async function thumbprint(jwk: JsonWebKey): Promise<string> {
  const required = jwk.kty === 'RSA' ? { e: jwk.e, kty: jwk.kty, n: jwk.n } : { crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y };
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(JSON.stringify(required)));
  const text = btoa(String.fromCharCode(...new Uint8Array(digest)));
  return text.replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/** Members that only a private or a shared key has. */
const SECRET_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];

/** Reads a pasted public key; a private one is refused here, before anything is sent. */
export function readPublicJwk(text: string): { jwk: Record<string, unknown> } | { error: 'json' | 'private' } {
  let jwk: unknown;
  try {
    jwk = JSON.parse(text);
  } catch {
    return { error: 'json' };
  }
  if (typeof jwk !== 'object' || jwk === null || Array.isArray(jwk) || !('kty' in jwk)) return { error: 'json' };
  if (SECRET_MEMBERS.some((name) => name in jwk)) return { error: 'private' };
  return { jwk: jwk as Record<string, unknown> };
}

/** Offers a file. */
export function download(name: string, content: unknown): void {
  const url = URL.createObjectURL(new Blob([JSON.stringify(content, null, 2)], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
