// The HTTP of every server here: on loopback, with a log of what was asked and faults that a test orders.
import http from 'node:http'
import { Readable } from 'node:stream'
import * as CAR from '@ucanto/transport/car'

/** Told each invocation that any server here is sent. */
export const listeners = []

const CONTENT_TYPE = 'application/vnd.ipld.car'

/** What was asked, in order: {name, bytes, status}; a name is a capability, or a method and a place. */
export const log = []
/** Faults in force; see `storacha.py` for their fields. */
export let faults = []
let down = false
/** What lets each request go on that waits now. */
const waiting = new Set()

export const order = (fault) => { faults.push({ when: 'before', how: 'drop', skip: 0, times: 1, ...fault }) }
export const heal = () => { faults = []; down = false; for (const go of waiting) go() }

const read = async (stream) => {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const nameOf = async (method, headers, path, place, body) => {
  if (method === 'POST' && headers['content-type'] === CONTENT_TYPE) {
    try {
      const message = await CAR.request.decode({ headers, body: new Uint8Array(body) })
      for (const one of message.invocations) for (const tell of listeners) tell(one)
      return message.invocations.map((one) => one.capabilities[0].can).join(' ')
    } catch { /* not a message: the service says so */ }
  }
  return `${method} ${place ?? `/${path.split(/[/?]/)[1]}`}`
}

const due = (name, when, between) => {
  const fault = faults.find((one) => one.when === when && one.times !== 0 &&
    ((!one.match && !between) || name.split(' ').includes(one.match) || name === one.match))
  if (!fault) return
  if (fault.how === 'throttle') {
    // A token bucket: `rate` a second, at most one second's worth saved up.
    const now = performance.now() / 1000
    fault.tokens = Math.min(fault.rate, (fault.tokens ?? fault.rate) + (now - (fault.at ?? now)) * fault.rate)
    fault.at = now
    if (fault.tokens >= 1) { fault.tokens--; return }
    return { how: 'status', status: 429, headers: { 'retry-after': String(fault.retryAfter ?? 1) } }
  }
  if (fault.skip > 0) { fault.skip--; return }
  if (fault.times !== null) fault.times--
  if (fault.down) down = true
  return fault
}

const wait = (seconds) => new Promise((resolve) => {
  const go = () => { clearTimeout(timer); waiting.delete(go); resolve() }
  const timer = setTimeout(go, seconds * 1000)
  waiting.add(go)
})

/** A response that is kept until it is whole. It ignores `destroy`: the storage node calls it at once after
 *  `end`, which would cut off a body of several MiB. */
class Kept {
  status = 200; headers = {}; chunks = []
  writeHead (status, ...rest) {
    this.status = status
    const headers = rest.at(-1)
    if (headers && typeof headers === 'object') this.headers = headers
    return this
  }
  write (chunk) { if (chunk?.length) this.chunks.push(Buffer.from(chunk)); return true }
  end (chunk) { if (chunk) this.write(chunk) }
  destroy () { return this }
}

/** Start a server whose handler is `(request, kept, body)`; `place` names its requests for log and faults. */
export const listen = async (handler, { port = 0, place } = {}) => {
  const server = http.createServer(async (req, res) => {
    const inner = 'x-inner' in req.headers
    // What the service asks of its own nodes and indexer fails only when it is named.
    const between = place !== undefined && (req.method === 'POST' || req.headers['user-agent'] === 'node')
    const cut = () => req.socket.destroy()
    try {
      if (down && !inner && !between) return cut()
      const body = await read(req)
      const name = await nameOf(req.method, req.headers, req.url, place, body)
      const entry = { name, path: req.url, bytes: body.length, status: 0 }
      if (!inner) log.push(entry)
      let fault = inner ? undefined : due(name, 'before', between)
      const kept = new Kept()
      if (fault?.how === 'drop') return cut()
      if (fault?.how === 'wait') await wait(fault.seconds)
      if (fault?.how === 'status') {
        kept.writeHead(fault.status, fault.headers ?? {}).end(fault.body ?? 'as ordered')
      } else {
        const again = Object.assign(Readable.from(body.length ? [body] : []),
          { method: req.method, url: req.url, headers: req.headers, socket: req.socket })
        await handler(again, kept, body)
        entry.status = kept.status
        fault = inner ? undefined : due(name, 'after', between)
        if (fault?.how === 'drop') return cut()
        if (fault?.how === 'wait') await wait(fault.seconds)
        if (fault?.how === 'status') {
          kept.chunks = []
          kept.writeHead(fault.status, fault.headers ?? {}).end(fault.body ?? 'as ordered')
        }
      }
      entry.status = kept.status
      const whole = Buffer.concat(kept.chunks)
      if (fault?.how === 'flip' && whole.length) whole[fault.at ?? whole.length >> 1] ^= 1
      const headers = Object.fromEntries(Object.entries(kept.headers).filter(([key]) =>
        !['content-length', 'transfer-encoding'].includes(key.toLowerCase())))
      res.writeHead(kept.status, { ...headers, 'content-length': whole.length })
      if (fault?.how === 'cut') return res.write(whole.subarray(0, whole.length >> 1), cut)
      res.end(whole)
    } catch (error) {
      console.error(error)
      if (!res.headersSent) res.writeHead(500)
      res.end(String(error?.message ?? error))
    }
  })
  server.keepAliveTimeout = 60_000
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve))
  return server
}

/** In place of `node:http` for the service's own test context, whose servers listen on every interface. */
export const loopback = {
  ...http,
  createServer: (handler) => {
    let server
    return {
      listen: (ready) => listen(handler, { place: 'blob' }).then((made) => { server = made; ready() }),
      address: () => server.address(),
      close: (done) => server.close(done),
      closeAllConnections: () => server.closeAllConnections()
    }
  }
}
