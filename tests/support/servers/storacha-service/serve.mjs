// The real Storacha upload service (@storacha/upload-api) on loopback, its state in memory.
//
// Real: every handler, the validation of UCANs, revocation, the storage nodes, the gateway's handlers. The stores,
// the router, the indexing service, plans and e-mail are the doubles that upload-api itself ships for its tests.
// Written here, after the hosted deployment: /receipt, /claims, /bridge, /version, and a control port for tests.
import http from 'node:http'
import { createContext } from '@storacha/upload-api/test/context'
import { confirmConfirmationUrl } from '@storacha/upload-api/test/utils'
import * as DIDMailto from '@storacha/did-mailto'
import { Message, Delegation, invoke, sha256, parseLink } from '@ucanto/core'
import { ed25519 } from '@ucanto/principal'
import * as CAR from '@ucanto/transport/car'
import * as dagJSON from '@ipld/dag-json'
import { base64url } from 'multiformats/bases/base64'
import { base58btc } from 'multiformats/bases/base58'
import * as Digest from 'multiformats/hashes/digest'
import { Assert } from '@web3-storage/content-claims/capability'
import { ShardedDAGIndex } from '@storacha/blob-index'
import * as QueryResult from '@storacha/indexing-service-client/query-result'
import { faults, heal, listen, listeners, log, loopback, order } from './front.mjs'
import { makeGateway } from './gateway.mjs'

const context = await createContext({ http: loopback, requirePaymentPlan: false })
// The context's own assert/* delegations live for 30 seconds, after which space/index/add would be refused.
for (const service of [context.indexingService, context.claimsService]) {
  const config = service.invocationConfig
  config.proofs = [await Assert.assert.delegate({
    issuer: config.audience, audience: config.issuer, with: config.audience.did(), expiration: Infinity
  })]
}
const gateway = makeGateway(context.indexingService)

// The double of the indexing service knows claims by their subject alone. The real one knows every slice of every
// index that was registered, and says with the index where it and the shard are.
const indexes = new Map() // content root -> index link
const slices = new Map() // base58 digest -> [content root, index link, shard digest]
listeners.push((invocation) => {
  const { can, nb } = invocation.capabilities[0]
  if (can === 'assert/index') indexes.set(String(nb.content), nb.index)
})
const claimsOf = async (...hashes) => [...(await context.indexingService.queryClaims({ hashes })).ok.claims.values()]
const query = async (hashes) => {
  const claims = await claimsOf(...hashes)
  if (claims.length) return claims
  for (const [content, link] of indexes) {
    indexes.delete(content)
    const location = (await claimsOf(link.multihash)).find((one) => one.type === 'assert/location')
    const bytes = await (await fetch(location.location[0], { headers: { 'x-inner': '1' } })).arrayBuffer()
    for (const [shard, found] of ShardedDAGIndex.extract(new Uint8Array(bytes)).ok.shards) {
      for (const [slice] of found) slices.set(base58btc.encode(slice.bytes), [parseLink(content), link, shard])
    }
  }
  const known = hashes.map((hash) => slices.get(base58btc.encode(hash.bytes))).filter((one) => one)
  return claimsOf(...known.flatMap(([content, link, shard]) => [content.multihash, link.multihash, shard]))
}

// ---- e-mail: the link is clicked at once, or when a test says so
let auto = true
const pending = []
const click = async (mail) => {
  await context.plansStorage
    .initialize(DIDMailto.fromEmail(mail.to), `acc:${mail.to}`, 'did:web:starter.storacha.network').catch(() => {})
  await confirmConfirmationUrl(context.connection, mail).catch((error) => console.error('confirm', error))
}
const send = context.mail.sendValidation.bind(context.mail)
context.mail.sendValidation = async (mail) => {
  await send(mail)
  if (auto) setTimeout(() => click(mail), 20)
  else pending.push(mail)
}

const json = (response, value, status = 200) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))

const receipt = async (response, task) => {
  const found = await context.agentStore.receipts.get(parseLink(task))
  if (found.error) return response.writeHead(404).end(`No receipt for task ${task} is found`)
  const { headers, body } = CAR.request.encode(await Message.build({ receipts: [found.ok] }))
  response.writeHead(200, headers).end(body)
}

const bridge = async (request, response, body) => {
  const secret = request.headers['x-auth-secret']
  const authorization = request.headers.authorization
  if (!authorization || !secret) return response.writeHead(401).end('request missing header')
  const issuer = await ed25519.Signer.derive((await sha256.digest(base64url.decode(secret))).digest)
  const proof = await Delegation.extract(base64url.decode(authorization))
  if (proof.error) return response.writeHead(401).end(proof.error.message)
  const { tasks } = dagJSON.decode(body)
  const receipts = await context.connection.execute(...tasks.map(([can, resource, nb]) => invoke({
    issuer, audience: context.service, capability: { can, with: resource, nb }, proofs: [proof.ok]
  })))
  response.writeHead(200, { 'content-type': 'application/vnd.ipld.dag-json' })
  response.end(dagJSON.stringify(receipts.map((one) => ({ p: one.root.data.ocm, s: one.root.data.sig }))))
}

const service = async (request, response, body) => {
  const url = new URL(request.url, 'http://127.0.0.1')
  const [, first, second] = url.pathname.split('/')
  const at = `${request.method} /${first}`
  if (at === 'GET /version') {
    json(response, { name: '@storacha/upload-api', did: context.service.did(), publicKey: context.service.toDIDKey() })
  } else if (at === 'GET /receipt') {
    await receipt(response, second)
  } else if (at === 'GET /claims') {
    const hashes = url.searchParams.getAll('multihash').map((one) => Digest.decode(base58btc.decode(one)))
    const found = await QueryResult.from({ claims: await query(hashes) })
    response.writeHead(200, { 'content-type': 'application/vnd.ipld.car' })
    response.end((await QueryResult.archive(found.ok)).ok)
  } else if (first === 'ipfs') {
    const answer = await gateway(new Request(url, { method: request.method, headers: request.headers }), {}, { waitUntil () {} })
    response.writeHead(answer.status, Object.fromEntries(answer.headers))
    response.end(Buffer.from(await answer.arrayBuffer()))
  } else if (at === 'POST /bridge') {
    await bridge(request, response, body)
  } else if (at === 'POST /') {
    const answer = await context.connection.channel.request({ method: 'POST', headers: request.headers, body: new Uint8Array(body) })
    response.writeHead(answer.status ?? 200, answer.headers).end(answer.body)
  } else {
    response.writeHead(404).end()
  }
}

// ---- what tests order; on a port of its own, so that no fault reaches it
const control = http.createServer(async (request, response) => {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  const given = chunks.length ? JSON.parse(Buffer.concat(chunks)) : undefined
  const at = `${request.method} ${request.url}`
  if (at === 'GET /log') return json(response, log)
  if (at === 'GET /faults') return json(response, faults)
  if (at === 'DELETE /log') log.length = 0
  else if (at === 'POST /faults') order(given)
  else if (at === 'DELETE /faults') heal()
  else if (at === 'POST /auto') auto = given
  else if (at === 'POST /click') await Promise.all(pending.splice(0).map(click))
  else if (at === 'GET /mail') return json(response, pending.map((mail) => mail.to))
  else return json(response, at, 404)
  json(response, null)
})

const front = await listen(service, { port: Number(process.env.PORT ?? 0) })
await new Promise((resolve) => control.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${front.address().port}`
console.log(JSON.stringify({
  url,
  control: `http://127.0.0.1:${control.address().port}`,
  did: context.service.did(),
  key: context.service.toDIDKey(),
  nodes: context.storageProviders.map((node) => `http://127.0.0.1:${node.server.address().port}`)
}))
// The parent's end is ours: its pipe closes when it dies, however it dies.
process.stdin.on('end', () => process.exit(0)).resume()
process.on('SIGTERM', () => process.exit(0))
