// Makes tokens.json: what the npm library jose, which the old shop used, really writes.
//
//   npm install jose
//   node make_tokens.mjs > tokens.json          (all tokens)
//   node make_tokens.mjs verify TOKEN SECRET    (what jose reads in one of ours)
//
// JOSE_PATH names jose's folder where it is not installed beside this file.

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(process.env.JOSE_PATH ? `${process.env.JOSE_PATH}/` : import.meta.url)
const jose = await import(pathToFileURL(require.resolve(process.env.JOSE_PATH ?? 'jose')).href)

const SECRET = 'shop-production-secret-0123456789abcdef'
const COMPROMISED = 'your-secret-key-change-in-production'
const SHORT = 'old-shop-secret'
const key = (secret) => new TextEncoder().encode(secret)

if (process.argv[2] === 'verify') {
  const { payload, protectedHeader } = await jose.jwtVerify(process.argv[3], key(process.argv[4]))
  console.log(JSON.stringify({ payload, protectedHeader }))
  process.exit(0)
}

const now = 1795132800000
const data = {
  id: 'ws_mwo5wwds_2',
  vaultId: '618896069',
  customerId: 'cus_3',
  email: 'søren@exämple.org',
  firstName: 'María José',
  lastName: '王',
  transactionId: '3094896636',
  state: 'NY',
  createdAt: now - 600000,
  expiresAt: now + 1200000,
  lastVaultUpdate: now - 599000,
}

// jose counts '30m' from the present, which stands here.
globalThis.Date = class extends Date {
  constructor(...given) {
    super(...(given.length ? given : [now]))
  }
}

const signed = (header = {}) =>
  new jose.SignJWT(data).setProtectedHeader({ alg: 'HS256', ...header }).setIssuedAt()

const made = {
  good: await signed().setExpirationTime('30m').sign(key(SECRET)),
  typed: await signed({ typ: 'JWT' })
    .setExpirationTime(now / 1000 + 1800)
    .sign(key(SECRET)),
  noexp: await signed().sign(key(SECRET)),
  short_secret: await signed().setExpirationTime('30m').sign(key(SHORT)),
  compromised: await signed().setExpirationTime('30m').sign(key(COMPROMISED)),
  expired: await signed().setExpirationTime(now / 1000 - 1800).sign(key(SECRET)),
  hs384: await signed({ alg: 'HS384' })
    .setExpirationTime('30m')
    .sign(key(SECRET.padEnd(48, 'x'))),
  hs512: await signed({ alg: 'HS512' })
    .setExpirationTime('30m')
    .sign(key(SECRET.padEnd(64, 'x'))),
  rs256: await signed({ alg: 'RS256' })
    .setExpirationTime('30m')
    .sign((await jose.generateKeyPair('RS256')).privateKey),
  es256: await signed({ alg: 'ES256' })
    .setExpirationTime('30m')
    .sign((await jose.generateKeyPair('ES256')).privateKey),
  kid: await signed({ kid: '../../../dev/null' })
    .setExpirationTime('30m')
    .sign(key(SECRET)),
  audience: await signed().setAudience('another').setExpirationTime('30m').sign(key(SECRET)),
  unsecured: new jose.UnsecuredJWT(data).setIssuedAt(now / 1000).setExpirationTime('30m').encode(),
  encrypted: await new jose.EncryptJWT(data)
    .setProtectedHeader({ alg: 'dir', enc: 'A256GCM' })
    .setIssuedAt(now / 1000)
    .setExpirationTime('30m')
    .encrypt(key(SECRET).slice(0, 32)),
  pbes2: await new jose.CompactEncrypt(key(JSON.stringify(data)))
    .setProtectedHeader({ alg: 'PBES2-HS256+A128KW', enc: 'A128GCM' })
    .encrypt(key(SECRET)),
  json: JSON.stringify(
    await new jose.FlattenedSign(key(JSON.stringify(data)))
      .setProtectedHeader({ alg: 'HS256' })
      .sign(key(SECRET)),
  ),
}
console.log(JSON.stringify({ now, secret: SECRET, compromised: COMPROMISED, short: SHORT, data, tokens: made }, null, 1))
