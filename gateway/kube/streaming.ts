/**
 * exec and attach: one stream to a container, recorded as a session.
 *
 *     upgrade ──understood, allowed──► slot ──► recording open ──► API server accepts ──► client accepted ──► relaying ──► over
 *        └──refused: an answer without upgrade     └──strict and impossible: refused    └──refuses: its answer is passed on
 *
 * The recording is open before the API server is asked, and bytes are in the spool before they go on. The connection ends
 * when either side ends, when a lock, roles or limits end it (the reason is the last line and the final Status), or when a strict
 * recording fails. Back-pressure reaches whichever side sends. Tested in test/kube/ with the real kubectl, and streaming.test.ts.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { get as httpsGet } from 'node:https';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import type { RawData } from 'ws';
import { StenoError } from '#schemas/base/errors.js';
import {
  CHANNEL,
  exitCodeOf,
  formatRemoteCommand,
  parseClientFrame,
  parseRemoteCommand,
  subprotocols,
} from '#schemas/kube/remote-command.js';
import type { RemoteCommand, Subprotocol } from '#schemas/kube/remote-command.js';
import type { Recorder } from '../recorder/recorder.js';
import type { LiveSession } from '../sessions/live-session.js';
import { asStenoError, explainError } from '../sessions/refusal.js';
import type { SessionSlots } from '../sessions/slots.js';
import { openSessionTap } from '../ssh/relay/session-recording.js';
import type { Observe, SessionTap } from '../ssh/relay/session-recording.js';
import { connectionBudget } from '../streams/observing/budget.js';
import type { CertifiedUser } from './client-certificate.js';
import { identityHeaders } from './headers.js';
import { Counts, enter, understand, upstreamRequest } from './proxy.js';
import type { ProxyDeps } from './proxy.js';
import type { Entered, Understood } from './request.js';
import { requestEvent } from './request-event.js';
import { refuseUpgrade, statusOf } from './status.js';
import type { Upstream } from './upstreams.js';

export interface StreamingDeps extends ProxyDeps {
  readonly recorder: Recorder;
  readonly slots: SessionSlots;
  readonly observe: Observe;
  /** Waits for the recording when the gateway ends. */
  track(closing: Promise<void>): void;
}

/** A frame of the API server or kubectl has 32 KiB. */
const MAX_FRAME = 4 << 20;
/** Beyond so much that one side has not read, the other is not read. */
const HIGH_WATER = 1 << 20;
/** Of a frozen session without a terminal. */
const MAX_HELD = 4 << 20;
const DIAL_MS = 15_000;
const MAX_REFUSAL = 65_536;
const MAX_POD = 4 << 20;

export async function streamRequest(
  deps: StreamingDeps,
  user: CertifiedUser,
  source: string,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  let entered: Entered | undefined;
  let relay: Relay | undefined;
  let ended: StenoError | undefined;
  let tap: SessionTap | undefined;
  let understood: Understood | undefined;
  let refusal: StenoError | undefined;
  const counts = new Counts();
  try {
    understood = understand(request.method ?? '', request.url ?? '');
    entered = enter(deps, user, source, understood, (error) => {
      ended ??= error;
      relay?.end(error);
    });
    const { command, protocols } = wanted(entered, request);
    const slot = deps.slots.take(user.identity.user, entered.authorized.terms!.limits.maxSessions);
    entered.access.hold(slot);
    if (slot.granted !== undefined) await slot.granted;
    const upstream = await deps.upstreams.of(entered.authorized.cluster);
    const pod = await podOf(upstream, entered, command);
    stopIf(ended);
    tap = await open(deps, user, source, request, entered, command, pod, (error) => {
      ended ??= error;
      relay?.end(error);
    });
    stopIf(ended);
    const accepted = await dial(upstream, entered, command, protocols);
    counts.answered(accepted.code);
    if (accepted.kind === 'refused') {
      socket.end(accepted.answer);
      tap.recorder.exit(1);
      return;
    }
    relay = new Relay(counts, entered, tap, command, accepted.server, accepted.protocol);
    if (ended !== undefined) relay.end(ended);
    await relay.run(request, socket, head);
    refusal = ended;
  } catch (error) {
    refusal = ended ?? asStenoError(error);
    refuseUpgrade(socket, refusal);
  } finally {
    entered?.access.leave();
    if (tap !== undefined) deps.track(tap.close());
    const facts = { user, source, method: request.method ?? '', userAgent: request.headers['user-agent'] ?? '' };
    deps.recorder.event(
      requestEvent(
        { ...facts, understood, entered, error: refusal, ...(tap === undefined ? {} : { session: tap.recorder.session }) },
        counts.now(),
      ),
    );
  }
}

function stopIf(ended: StenoError | undefined): void {
  if (ended !== undefined) throw ended;
}

/** Throws KUBE_REQUEST_REFUSED, KUBE_UNSUPPORTED. */
function wanted(
  { target }: Entered,
  { headers, method }: IncomingMessage,
): { readonly command: RemoteCommand; readonly protocols: readonly Subprotocol[] } {
  const asked = target.kind === 'resource' && target.request.resource === 'pods' && target.request.group === '' ? target.request : null;
  const subresource = asked?.namespace == null ? null : asked.subresource;
  if (subresource !== 'exec' && subresource !== 'attach') throw new StenoError('KUBE_REQUEST_REFUSED', 'an upgrade where there is none');
  if (method !== 'GET' || headers.upgrade?.toLowerCase() !== 'websocket')
    throw new StenoError(
      'KUBE_UNSUPPORTED',
      `${subresource} over ${headers.upgrade?.slice(0, 32) ?? 'HTTP'}: use a client that speaks WebSocket (kubectl 1.31 or newer)`,
    );
  const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
  const protocols = subprotocols.filter((known) => offered.includes(known));
  if (protocols.length === 0) throw new StenoError('KUBE_UNSUPPORTED', `${subresource} without ${subprotocols.join(' or ')}`);
  const command = parseRemoteCommand(subresource, target.query);
  if (command === null) throw new StenoError('KUBE_REQUEST_REFUSED', `the parameters of ${subresource}`);
  return { command, protocols };
}

interface PodFacts {
  readonly container: string;
  readonly image: string;
}

/** What is known of the container: by the user's own right to read the pod; empty without one. */
function podOf(upstream: Upstream, { authorized, target }: Entered, { container }: RemoteCommand): Promise<PodFacts> {
  const path = target.path.replace(/\/(?:exec|attach)$/, '');
  const headers = { accept: 'application/json', ...identityHeaders(authorized.impersonate, authorized.groups, randomUUID()) };
  return new Promise((resolve) => {
    const unknown = { container, image: '' };
    const asked = httpsGet({ ...upstreamRequest(upstream, { path, query: '' }, 'GET', headers), timeout: DIAL_MS }, (answer) => {
      const chunks: Buffer[] = [];
      let size = 0;
      answer.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_POD) asked.destroy();
        else chunks.push(chunk);
      });
      answer.on('error', () => resolve(unknown));
      answer.on('end', () => resolve(answer.statusCode === 200 ? factsIn(Buffer.concat(chunks), container) : unknown));
    });
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(unknown));
  });
}

/** Names of containers are unique in a pod; without a name it is that of the annotation, or the first. */
function factsIn(json: Buffer, wantedContainer: string): PodFacts {
  try {
    const { metadata, spec, status } = JSON.parse(json.toString('utf8')) as {
      readonly metadata?: { readonly annotations?: Readonly<Record<string, unknown>> };
      readonly spec?: { readonly containers?: readonly { readonly name?: unknown; readonly image?: unknown }[] };
      readonly status?: Readonly<
        Record<string, readonly { readonly name?: unknown; readonly imageID?: unknown; readonly image?: unknown }[] | undefined>
      >;
    };
    const usual = metadata?.annotations?.['kubectl.kubernetes.io/default-container'] ?? spec?.containers?.[0]?.name;
    const container = wantedContainer === '' && typeof usual === 'string' ? usual : wantedContainer;
    const running = ['containerStatuses', 'ephemeralContainerStatuses', 'initContainerStatuses']
      .flatMap((list) => status?.[list] ?? [])
      .find(({ name }) => name === container);
    const image =
      running?.imageID === '' ? running.image : (running?.imageID ?? spec?.containers?.find(({ name }) => name === container)?.image);
    return { container: container.slice(0, 255), image: typeof image === 'string' ? image.slice(0, 1024) : '' };
  } catch {
    return { container: wantedContainer, image: '' };
  }
}

function open(
  deps: StreamingDeps,
  { identity }: CertifiedUser,
  source: string,
  { headers }: IncomingMessage,
  { cluster, target, authorized }: Entered,
  command: RemoteCommand,
  pod: PodFacts,
  failed: (error: StenoError) => void,
): Promise<SessionTap> {
  const asked = target.kind === 'resource' ? target.request : null;
  return openSessionTap(
    {
      recorder: deps.recorder,
      observe: deps.observe,
      budget: connectionBudget(),
      facts: {
        user: identity.user,
        roles: authorized.roles,
        requests: identity.requests,
        node: [authorized.cluster.name, asked?.namespace ?? '', asked?.name ?? ''].join('/'),
        login: authorized.impersonate,
        source_address: source,
        client_version: headers['user-agent'] ?? '',
        certificate_serial: identity.serial,
        certificate_key_id: identity.keyId,
        recording: authorized.terms!.recording,
        labels: authorized.cluster.labels,
        pod: { cluster, namespace: asked?.namespace ?? '', pod: asked?.name ?? '', ...pod },
      },
    },
    { started: true, tty: command.tty, term: '', cols: 80, rows: 24, environment: [] },
    command.command.length === 0 ? { kind: 'shell' } : { kind: 'exec', command: shellWords(command.command) },
    failed,
  ).then((tap) => {
    if (authorized.terms!.enhanced.mode !== 'off')
      tap.recorder.gap({ reason: 'kernel_events', detail: 'pods are not watched by an agent' });
    return tap;
  });
}

/** As a shell would be told: plain words as they are, others in quotes. */
function shellWords(words: readonly string[]): string {
  return words.map((word) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}

type Accepted =
  | { readonly kind: 'accepted'; readonly code: 101; readonly server: WebSocket; readonly protocol: Subprotocol }
  /** The API server's own answer, as bytes of HTTP. */
  | { readonly kind: 'refused'; readonly code: number; readonly answer: Buffer };

/** Rejects KUBE_UNREACHABLE. */
function dial(
  upstream: Upstream,
  { authorized, auditId, target }: Entered,
  command: RemoteCommand,
  protocols: readonly Subprotocol[],
): Promise<Accepted> {
  const { host, port, path, headers } = upstreamRequest(
    upstream,
    { path: target.path, query: formatRemoteCommand(command) },
    'GET',
    identityHeaders(authorized.impersonate, authorized.groups, auditId),
  );
  return new Promise((resolve, reject) => {
    const server = new WebSocket(`wss://${String(host).includes(':') ? `[${host}]` : host}:${port}${path}`, [...protocols], {
      ...upstream.tls,
      headers: headers as Record<string, string>,
      perMessageDeflate: false,
      followRedirects: false,
      handshakeTimeout: DIAL_MS,
      maxPayload: MAX_FRAME,
    });
    server.binaryType = 'nodebuffer';
    server.on('unexpected-response', (_, answer) => {
      const chunks: Buffer[] = [];
      let size = 0;
      answer.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size <= MAX_REFUSAL) chunks.push(chunk);
      });
      answer.on('error', () => reject(new StenoError('KUBE_UNREACHABLE', 'it broke off')));
      answer.on('end', () =>
        resolve({ kind: 'refused', code: answer.statusCode ?? 502, answer: refusalOf(answer, Buffer.concat(chunks)) }),
      );
    });
    server.on('error', (error) =>
      reject(new StenoError('KUBE_UNREACHABLE', (error as NodeJS.ErrnoException).code ?? error.message, { cause: error })),
    );
    server.on('open', () => {
      // What comes before the client is accepted waits.
      server.pause();
      const protocol = protocols.find((known) => known === server.protocol);
      if (protocol !== undefined) return resolve({ kind: 'accepted', code: 101, server, protocol });
      server.terminate();
      reject(new StenoError('KUBE_UNREACHABLE', 'it speaks no protocol that was offered'));
    });
  });
}

function refusalOf({ statusCode = 502, headers }: IncomingMessage, body: Buffer): Buffer {
  const type = headers['content-type'] === undefined || /[\r\n]/.test(headers['content-type']) ? 'text/plain' : headers['content-type'];
  return Buffer.concat([
    Buffer.from(
      `HTTP/1.1 ${statusCode} Refused\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`,
      'latin1',
    ),
    body,
  ]);
}

const acceptor = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_FRAME, clientTracking: false });

/** Frames between the client and the API server, with the recording between them. */
class Relay {
  readonly #counts: Counts;
  readonly #entered: Entered;
  readonly #tap: SessionTap;
  readonly #tty: boolean;
  readonly #server: WebSocket;
  readonly #protocol: Subprotocol;
  #client: WebSocket | undefined;
  #live: LiveSession | undefined;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #ended: StenoError | undefined;
  #finish: (() => void) | undefined;

  constructor(counts: Counts, entered: Entered, tap: SessionTap, { tty }: RemoteCommand, server: WebSocket, protocol: Subprotocol) {
    this.#counts = counts;
    this.#entered = entered;
    this.#tap = tap;
    this.#tty = tty;
    this.#server = server;
    this.#protocol = protocol;
  }

  /** Accepts the client and resolves when the session is over. */
  run(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.#finish = resolve;
      const server = this.#server;
      server.on('close', () => this.#close(1000));
      server.on('error', () => this.#close(1011));
      // Only what the API server has agreed to is agreed with the client.
      request.headers['sec-websocket-protocol'] = this.#protocol;
      socket.on('close', () => this.#close(1001));
      acceptor.handleUpgrade(request, socket, head, (client) => {
        this.#client = client;
        client.binaryType = 'nodebuffer';
        client.on('message', (data, binary) => this.#fromClient(data, binary));
        client.on('close', () => this.#close(1001));
        client.on('error', () => this.#close(1002));
        server.on('message', (data) => this.#fromServer(data as Buffer));
        this.#live = this.#entered.access.begin(this.#tap.recorder, {
          end: (error) => this.end(error),
          notice: (words) => this.#notice(words),
          reopened: () => this.#deliverHeld(),
        });
        if (this.#ended === undefined) server.resume();
        else this.end(this.#ended);
      });
    });
  }

  /** Tells the reason as the last words and as the final Status, and ends both sides. */
  end(error: StenoError): void {
    this.#ended ??= error;
    const client = this.#client;
    if (client === undefined) return;
    const lines = explainError(error);
    const words = Buffer.from(this.#tty ? `\r\n${lines.join('\r\n')}\r\n` : `${lines.join('\n')}\n`);
    this.#tap.recorder.output(this.#tty ? 'out' : 'err', words);
    this.#tap.recorder.exit(255);
    client.send(frame(this.#tty ? CHANNEL.stdout : CHANNEL.stderr, words));
    client.send(frame(CHANNEL.error, Buffer.from(statusOf(error).body)));
    this.#close(1000);
  }

  #notice(words: string): void {
    if (!this.#tty || this.#client === undefined) return;
    const line = Buffer.from(`\r\nsteno: ${words}\r\n`);
    this.#tap.output('out', line);
    this.#client.send(frame(CHANNEL.stdout, line));
  }

  #fromClient(data: RawData, binary: boolean): void {
    const bytes = data as Buffer;
    this.#counts.bytesIn += bytes.length;
    const parsed = binary ? parseClientFrame(bytes, this.#protocol) : null;
    if (parsed === null) return this.end(new StenoError('KUBE_REQUEST_REFUSED', 'a frame that no client sends'));
    this.#entered.access.active();
    if (parsed.kind === 'resize') {
      this.#tap.recorder.resize(parsed.cols, parsed.rows);
      return this.#toServer(bytes);
    }
    // Both peers open their channels with an empty frame.
    if (parsed.kind === 'stdin' && parsed.data.length === 0) return this.#toServer(bytes);
    if (this.#live?.gate.open === false) {
      if (this.#tty && parsed.kind === 'stdin') return this.#live.gate.discard();
      this.#held.push(bytes);
      this.#heldBytes += bytes.length;
      if (this.#heldBytes > MAX_HELD) this.end(new StenoError('LOCKED', 'the session is frozen, and more input came than can be held'));
      return;
    }
    this.#input(bytes);
  }

  #input(bytes: Buffer): void {
    if (bytes[0] === CHANNEL.stdin && !this.#tap.input(bytes.subarray(1))) this.#hold(this.#client!);
    this.#toServer(bytes);
  }

  #deliverHeld(): void {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const bytes of held) this.#input(bytes);
  }

  #fromServer(bytes: Buffer): void {
    const data = bytes.subarray(1);
    this.#counts.bytesOut += bytes.length;
    if (bytes[0] === CHANNEL.stdout || bytes[0] === CHANNEL.stderr) {
      if (!this.#tty) this.#entered.access.active();
      if (data.length > 0 && !this.#tap.output(bytes[0] === CHANNEL.stdout ? 'out' : 'err', data)) this.#hold(this.#server);
      // A strict recording that failed just now: what it lacks is not shown.
      if (this.#ended !== undefined) return;
    } else if (bytes[0] === CHANNEL.error) {
      if (data.length > 0) this.#tap.recorder.exit(exitCodeOf(data) ?? 255);
    } else if (data.length > 0) return; // Of channels that nobody records, the client gets nothing.
    send(this.#client!, bytes, this.#server);
  }

  #toServer(bytes: Buffer): void {
    send(this.#server, bytes, this.#client!);
  }

  /** The spool is behind: this side is not read until it has room. */
  #hold(side: WebSocket): void {
    side.pause();
    this.#tap.recorder.onReady(() => side.resume());
  }

  #close(code: number): void {
    const finish = this.#finish;
    if (finish === undefined) return;
    this.#finish = undefined;
    this.#live?.leave();
    for (const side of [this.#server, this.#client]) {
      side?.resume();
      side?.close(code === 1001 ? 1000 : code);
      // A peer that does not answer the close is cut off.
      if (side !== undefined) setTimeout(() => side.terminate(), 2_000).unref();
    }
    finish();
  }
}

function frame(channel: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.of(channel), data]);
}

/** Sends, and does not read `from` while too much of it waits. */
function send(to: WebSocket, bytes: Buffer, from: WebSocket): void {
  if (to.readyState !== WebSocket.OPEN) return;
  const full = to.bufferedAmount > HIGH_WATER;
  if (full) from.pause();
  to.send(bytes, { binary: true }, () => {
    if (full && to.bufferedAmount <= HIGH_WATER) from.resume();
  });
}
