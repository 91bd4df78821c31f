// Records what the official library signs and encodes, as JSON on stdout: see record_vectors in ../storacha.py.
//
// Bytes are base64, structures are DAG-JSON. `key` is the did:key that verifies, null where nothing can.
import { Absentee, ed25519 } from '@ucanto/principal'
import { Delegation, Message, Receipt, delegate, invoke, parseLink } from '@ucanto/core'
import * as CAR from '@ucanto/transport/car'
import * as CBOR from '@ipld/dag-cbor'
import * as CarBufferWriter from '@ipld/car/buffer-writer'
import { CarIndexer } from '@ipld/car'
import { ShardedDAGIndex } from '@storacha/blob-index'
import * as dagJSON from '@ipld/dag-json'
import * as Link from 'multiformats/link'
import { base64 } from 'multiformats/bases/base64'
import { identity } from 'multiformats/hashes/identity'
import { sha256 } from 'multiformats/hashes/sha2'
import { UCAN } from '@storacha/capabilities'
import { delegationsToString } from '@storacha/access/encoding'

const b64 = (bytes) => Buffer.from(bytes).toString('base64')
const signer = async (byte) => ed25519.derive(new Uint8Array(32).fill(byte))
const alice = await signer(1)
const bob = await signer(2)
const space = await signer(3)
const service = (await signer(4)).withDID('did:web:up.example.org')
const account = Absentee.from({ id: 'did:mailto:example.org:some.one%2Bmore' })
const link = Link.create(0x55, await sha256.digest(new Uint8Array([1, 2, 3])))
const FOREVER = Infinity
const LATE = 4102444800 // 2100

const nested = {
  link, bytes: new Uint8Array([0, 255, 128]), list: [1, [link, null], { deep: { bytes: new Uint8Array(0) } }],
  int: 9007199254740991, minus: -1, yes: true, no: false, none: null, text: 'zażółć "\\\n\u0001 🪣 </script>', '': 'empty', é: 1, Z: 2, aa: 3
}

const principals = []
for (const [name, one] of Object.entries({ alice, bob, space })) {
  principals.push({ name, did: one.did(), key: ed25519.format(one), bytes: b64(ed25519.encode(one)) })
}
principals.push({ name: 'generated', ...(await ed25519.generate().then((one) => ({ did: one.did(), key: ed25519.format(one), bytes: b64(ed25519.encode(one)) }))) })

const made = {}
const up = { can: 'upload/*', with: space.did() }
made.simple = await delegate({ issuer: alice, audience: bob, capabilities: [{ can: 'upload/list', with: alice.did() }], expiration: LATE })
made.many = await delegate({
  issuer: space, audience: alice, expiration: LATE,
  capabilities: ['space/*', 'upload/*', '*'].map((can) => ({ can, with: space.did() }))
})
made.forever = await delegate({ issuer: space, audience: alice, capabilities: [up], expiration: FOREVER })
made.expired = await delegate({ issuer: space, audience: alice, capabilities: [up], expiration: 1000000000 })
made.later = await delegate({ issuer: space, audience: alice, capabilities: [up], expiration: LATE, notBefore: LATE - 1 })
made.nonce = await delegate({ issuer: space, audience: alice, capabilities: [up], expiration: LATE, nonce: 'a nonce "é"' })
made.facts = await delegate({
  issuer: space, audience: alice, capabilities: [up], expiration: LATE,
  facts: [{ space: { name: 'naïve 🪣', access: { type: 'public' } } }, { nested }]
})
made.everything = await delegate({
  issuer: space, audience: alice, capabilities: [{ ...up, nb: nested }], expiration: LATE, notBefore: 5, nonce: 'n', facts: [nested]
})
made.proofs = await delegate({ issuer: alice, audience: bob, capabilities: [up], expiration: LATE, proofs: [made.forever] })
made.chain = await delegate({
  issuer: bob, audience: service, capabilities: [{ can: 'upload/get', with: space.did(), nb: { root: link } }],
  expiration: LATE, proofs: [made.proofs, made.nonce]
})
made.link_only = await delegate({ issuer: alice, audience: bob, capabilities: [up], expiration: LATE, proofs: [made.forever.cid] })
made.to_web = await delegate({ issuer: alice, audience: service, capabilities: [{ can: 'x/y', with: alice.did() }], expiration: LATE })
made.from_web = await delegate({ issuer: service, audience: alice, capabilities: [{ can: 'x/y', with: service.did() }], expiration: LATE })
made.mailto = await delegate({ issuer: account, audience: alice, capabilities: [{ can: '*', with: 'ucan:*' }], expiration: FOREVER })
made.attest = await UCAN.attest.delegate({
  issuer: service, audience: alice, with: service.did(), nb: { proof: made.mailto.cid }, expiration: FOREVER
})
made.to_mailto = await delegate({ issuer: space, audience: account, capabilities: [{ can: '*', with: space.did() }], expiration: FOREVER })

const task = invoke({
  issuer: alice, audience: service, capability: { can: 'space/blob/add', with: space.did(), nb: { blob: { digest: (await sha256.digest(new Uint8Array(5))).bytes, size: 5 } } },
  proofs: [made.forever], expiration: LATE, nonce: 'once'
})
const fact = { cid: parseLink('bafyreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'), bytes: new Uint8Array([1]) }
made.invocation = await task.delegate()
const attached = await CBOR.encode({ hello: link })
const attachment = { bytes: attached, cid: Link.create(CBOR.code, await sha256.digest(attached)) }
const carrying = invoke({
  issuer: alice, audience: service, capability: { can: 'test/carry', with: alice.did(), nb: { block: attachment.cid } },
  expiration: LATE, facts: [{ about: fact.cid }]
})
carrying.attach(attachment)
made.carrying = await carrying.delegate()

const keyOf = { [service.did()]: service.toDIDKey() }
const delegations = []
for (const [name, one] of Object.entries(made)) {
  const archive = (await one.archive()).ok
  const data = one.data
  delegations.push({
    name,
    cid: one.cid.toString(),
    block: b64(one.root.bytes),
    archive: b64(archive),
    text: Link.create(0x0202, identity.digest(archive)).toString(base64),
    key: one.issuer.did().startsWith('did:mailto:') ? null : keyOf[one.issuer.did()] ?? one.issuer.did(),
    issuer: one.issuer.did(),
    audience: one.audience.did(),
    capabilities: JSON.parse(dagJSON.stringify(one.capabilities)),
    expiration: one.expiration === Infinity ? null : one.expiration,
    notBefore: one.notBefore ?? null,
    nonce: one.nonce ?? null,
    facts: JSON.parse(dagJSON.stringify(one.facts)),
    proofs: data.proofs.map(String),
    signature: b64(data.signature),
    blocks: [...one.iterateIPLDBlocks()].map((block) => block.cid.toString())
  })
}

const issued = {}
issued.ok = await Receipt.issue({ issuer: alice, ran: made.invocation, result: { ok: { site: link, bytes: new Uint8Array([9]), size: 5 } } })
issued.error = await Receipt.issue({ issuer: service, ran: made.invocation, result: { error: { name: 'UploadNotFound', message: 'not here' } } })
issued.forks = await Receipt.issue({
  issuer: service, ran: made.invocation, result: { ok: {} }, meta: { note: 'é', nested }, fx: { fork: [made.to_web, made.from_web] }
})
issued.join = await Receipt.issue({
  issuer: service, ran: made.invocation, result: { ok: nested }, fx: { fork: [], join: made.to_web }, proofs: [made.forever]
})
issued.link_only = await Receipt.issue({ issuer: service, ran: made.invocation.cid, result: { ok: {} } })
const receipts = []
for (const [name, one] of Object.entries(issued)) {
  receipts.push({
    name, cid: one.root.cid.toString(), block: b64(one.root.bytes),
    blocks: [...one.iterateIPLDBlocks()].map((block) => [block.cid.toString(), b64(block.bytes)]),
    ran: (one.ran.cid ?? one.ran).toString(), issuer: one.issuer?.did() ?? null,
    key: keyOf[one.issuer.did()] ?? one.issuer.did(), out: JSON.parse(dagJSON.stringify(one.out)),
    fork: one.fx.fork.map((each) => (each.cid ?? each).toString()), join: one.fx.join ? (one.fx.join.cid ?? one.fx.join).toString() : null
  })
}

const concluded = [...issued.ok.iterateIPLDBlocks()]
const conclude = invoke({
  issuer: service, audience: service, capability: { can: 'ucan/conclude', with: service.did(), nb: { receipt: issued.ok.root.cid } },
  expiration: FOREVER, facts: concluded.map((block, at) => ({ [at]: block.cid }))
})
for (const block of concluded) conclude.attach(block)
const sent = {
  one: { invocations: [made.invocation] },
  three: { invocations: [made.invocation, made.carrying, made.chain] },
  receipts: { receipts: [issued.ok, issued.forks].slice(0, 1) },
  refusal: { receipts: [issued.error] },
  conclude: { invocations: [await conclude.delegate()] },
  both: { invocations: [made.to_web], receipts: [issued.forks] }
}
const messages = []
for (const [name, parts] of Object.entries(sent)) {
  const message = await Message.build(parts)
  const { headers, body } = CAR.request.encode(message)
  messages.push({
    name, contentType: headers['content-type'], body: b64(body), root: message.root.cid.toString(),
    invocations: message.invocations.map((one) => one.cid.toString()),
    report: Object.fromEntries([...message.receipts].map(([ran, one]) => [ran, one.root.cid.toString()]))
  })
}

// ---- an index of two shards, and the shards
const parts = [[0, 1, 255], [7, 7]].map((fills) => fills.map((fill, at) => new Uint8Array(100 + 150 * at).fill(fill)))
const shards = []
let content
for (const part of parts) {
  const blocks = new Map()
  for (const bytes of part) {
    const block = { cid: Link.create(0x55, await sha256.digest(bytes)), bytes }
    content ??= block.cid
    blocks.set(block.cid.toString(), block)
  }
  const writer = CarBufferWriter.createWriter(new ArrayBuffer(4096), { roots: [content] })
  for (const block of blocks.values()) writer.write(block)
  shards.push(writer.close({ resize: true }))
}
const shardIndex = ShardedDAGIndex.create(content)
for (const shard of shards) {
  const digest = await sha256.digest(shard)
  for await (const { cid, blockOffset, blockLength } of await CarIndexer.fromBytes(shard)) {
    shardIndex.setSlice(digest, cid.multihash, [blockOffset, blockLength])
  }
  shardIndex.setSlice(digest, digest, [0, shard.length])
}
const index = { content: content.toString(), shards: shards.map(b64), archive: b64((await shardIndex.archive()).ok) }

const bundle = await delegationsToString([made.forever, made.mailto, made.attest])
// A check of the recorder itself: the library reads back what it wrote.
for (const one of delegations) {
  const back = await Delegation.extract(new Uint8Array(Buffer.from(one.archive, 'base64')))
  if (back.error || back.ok.cid.toString() !== one.cid) throw new Error(`${one.name} does not read back`)
}
console.log(JSON.stringify({ principals, service: { did: service.did(), key: service.toDIDKey() }, delegations, bundle: { text: bundle, cids: [made.forever, made.mailto, made.attest].map((one) => one.cid.toString()) }, receipts, messages, index }, null, 1))
