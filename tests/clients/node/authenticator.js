// A security key in software (WebAuthn level 2): one credential, attestation "none".
import { createHash, createSign, generateKeyPairSync, randomBytes } from 'node:crypto'

const PRESENT = 1, VERIFIED = 4, ATTESTED = 64
const text = (bytes) => Buffer.from(bytes).toString('base64url')
const sha256 = (data) => createHash('sha256').update(data).digest()

export class Authenticator {
  #id = randomBytes(16)
  #keys = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  #counter = 0
  #user = ''

  constructor(origin) {
    this.origin = origin
  }

  /** What `navigator.credentials.create()` gives for these options. */
  create({ rp, challenge, user }) {
    this.#user = user.id
    const { x, y } = this.#keys.publicKey.export({ format: 'jwk' })
    // COSE_Key (RFC 9053): EC2, ES256, P-256.
    const key = Buffer.concat([Buffer.from('a5010203262001215820', 'hex'), Buffer.from(x, 'base64url'), Buffer.from('225820', 'hex'), Buffer.from(y, 'base64url')])
    const length = Buffer.alloc(2)
    length.writeUInt16BE(this.#id.length)
    const data = Buffer.concat([this.#data(rp.id, PRESENT | VERIFIED | ATTESTED), Buffer.alloc(16), length, this.#id, key])
    // CBOR: {"fmt": "none", "attStmt": {}, "authData": data}
    const attestation = Buffer.concat([Buffer.from('a363666d74646e6f6e656761747453746d74a0686175746844617461', 'hex'), Buffer.from([0x58, data.length]), data])
    return this.#credential({ clientDataJSON: text(this.#client('webauthn.create', challenge)), attestationObject: text(attestation), transports: ['usb'] })
  }

  /** What `navigator.credentials.get()` gives for these options. */
  get({ rpId, challenge }) {
    const client = this.#client('webauthn.get', challenge)
    const data = this.#data(rpId, PRESENT | VERIFIED)
    const signature = createSign('SHA256').update(Buffer.concat([data, sha256(client)])).sign(this.#keys.privateKey)
    return this.#credential({ clientDataJSON: text(client), authenticatorData: text(data), signature: text(signature),
      userHandle: typeof this.#user === 'string' ? this.#user : text(this.#user) })
  }

  #data(rpId, flags) {
    const rest = Buffer.alloc(5)
    rest[0] = flags
    rest.writeUInt32BE(++this.#counter, 1)
    return Buffer.concat([sha256(rpId), rest])
  }

  #client(type, challenge) {
    return Buffer.from(JSON.stringify({ type, challenge: typeof challenge === 'string' ? challenge : text(challenge), origin: this.origin, crossOrigin: false }))
  }

  /** With a `toJSON`, as browsers make it. */
  #credential(response) {
    const shown = { id: text(this.#id), rawId: text(this.#id), type: 'public-key', authenticatorAttachment: 'cross-platform', clientExtensionResults: {}, response }
    return { ...shown, toJSON: () => shown }
  }
}
