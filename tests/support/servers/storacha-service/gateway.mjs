// A gateway over the service's claims, indexes and blobs: the handlers of the hosted one (gateway-lib and dagula).
import { base58btc } from 'multiformats/bases/base58'
import { ShardedDAGIndex } from '@storacha/blob-index'
import { Dagula } from 'dagula'
import * as Middleware from '@web3-storage/gateway-lib/middleware'
import { handleUnixfs, handleBlock, handleCar } from '@web3-storage/gateway-lib/handlers'

const KEPT = 4 // shards; without them each block would fetch its whole shard

export const makeGateway = (indexing) => {
  const slices = new Map()
  const kept = new Map()
  const claims = async (digest) => [...(await indexing.queryClaims({ hashes: [digest] })).ok.claims.values()]
  const blob = async (digest) => {
    const key = base58btc.encode(digest.bytes)
    if (kept.has(key)) return kept.get(key)
    for (const claim of await claims(digest)) {
      if (claim.type !== 'assert/location') continue
      const answer = await fetch(claim.location[0], { headers: { 'x-inner': '1' } })
      if (!answer.ok) continue
      const bytes = new Uint8Array(await answer.arrayBuffer())
      kept.set(key, bytes)
      if (kept.size > KEPT) kept.delete(kept.keys().next().value)
      return bytes
    }
  }
  const loadIndex = async (root) => {
    for (const claim of await claims(root)) {
      if (claim.type !== 'assert/index') continue
      const index = ShardedDAGIndex.extract(await blob(claim.index.multihash)).ok
      for (const [shard, found] of index.shards) {
        for (const [slice, position] of found) slices.set(base58btc.encode(slice.bytes), { shard, position })
      }
    }
  }
  const blockstore = {
    async get (cid) {
      const slice = slices.get(base58btc.encode(cid.multihash.bytes))
      const bytes = slice && await blob(slice.shard)
      return bytes && { cid, bytes: bytes.subarray(slice.position[0], slice.position[0] + slice.position[1]) }
    },
    async stat (cid) {
      const block = await this.get(cid)
      return block && { size: block.bytes.length }
    },
    async stream (cid, options) {
      let bytes = (await this.get(cid))?.bytes
      if (!bytes) return
      const range = options?.range
      if (range) bytes = range.length > 1 ? bytes.subarray(range[0], range[1] + 1) : bytes.slice(range[0])
      return new Blob([bytes]).stream()
    }
  }
  const { composeMiddleware, withContext, withCorsHeaders, withErrorHandler, withParsedIpfsUrl } = Middleware
  return composeMiddleware(withContext, withCorsHeaders, withErrorHandler, withParsedIpfsUrl)(
    async (request, env, context) => {
      await loadIndex(context.dataCid.multihash)
      if (!await blockstore.get(context.dataCid)) return new Response('not found', { status: 404 })
      context.dag = context.blocks = context.unixfs = new Dagula(blockstore)
      const format = context.searchParams.get('format')
      const accept = request.headers.get('accept') ?? ''
      if (format === 'raw' || accept.includes('application/vnd.ipld.raw')) return handleBlock(request, env, context)
      if (format === 'car' || accept.includes('application/vnd.ipld.car')) return handleCar(request, env, context)
      return handleUnixfs(request, env, context)
    })
}
