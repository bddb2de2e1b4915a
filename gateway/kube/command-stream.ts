/**
 * exec and attach: the streams of one command in a container.
 *
 *     recording open ──► agent expects it ──► API server accepts ──► client accepted ──► all streams there ──► relaying
 *        │  └──strict and impossible: refused    └──refuses: its answer is passed on
 *        └──roles demand participants──► client accepted ──all have joined──► API server accepts ──► relaying
 *                                                                                └──refuses: its Status is the end
 *
 * Client and API server speak the same protocol, WebSocket or SPDY/3.1; the relay between them is independent of it (streams/). Tested in
 * streaming.test.ts and watched.test.ts, and in test/kube/ with the real kubectl.
 */
import type { IncomingMessage } from 'node:http';
import { StenoError } from '#schemas/base/errors.js';
import { formatRemoteCommand, parseRemoteCommand, subprotocols } from '#schemas/kube/remote-command.js';
import type { RemoteCommand, Subprotocol } from '#schemas/kube/remote-command.js';
import { sessionTime } from '#schemas/recording/line.js';
import { MAX_LIVE_LOGIN, MAX_LIVE_NODE, MAX_LIVE_USER } from '#schemas/api/inventory/live-sessions.js';
import type { NodeRecord } from '#schemas/policy/role.js';
import { asStenoError } from '../sessions/refusal.js';
import { kindOf, openSessionTap } from '../ssh/relay/session-recording.js';
import type { SessionStart, SessionTap } from '../ssh/relay/session-recording.js';
import { connectionBudget } from '../streams/observing/budget.js';
import { factsOf } from './attempt.js';
import type { Attempt } from './attempt.js';
import { CLIENT_GONE } from './proxy.js';
import { dialSpdy, dialWebSocket } from './streams/dial.js';
import type { Dialled } from './streams/dial.js';
import { offered, protocolChange } from './streams/offer.js';
import type { Peer } from './streams/peer.js';
import { podOf } from './streams/pod-facts.js';
import type { PodFacts } from './streams/pod-facts.js';
import { PodWatch, agentOf } from './streams/pod-watch.js';
import { ContainerRelay } from './streams/relay.js';
import type { RelayDeps } from './streams/relay.js';
import { SPDY_PROTOCOL, SpdyPeer, acceptSpdy } from './streams/spdy-peer.js';
import { WebSocketPeer, acceptWebSocket } from './streams/websocket-peer.js';

/** The client's protocol: WebSocket subprotocols, or null for SPDY/3.1. The gateway uses the same towards the API server. */
type Protocols = readonly Subprotocol[] | null;

export interface CommandWanted {
  readonly kind: 'command';
  readonly command: RemoteCommand;
  readonly protocols: Protocols;
}

/** Throws KUBE_REQUEST_REFUSED, KUBE_UNSUPPORTED. */
export function commandWanted(subresource: 'exec' | 'attach', query: string, request: IncomingMessage): CommandWanted {
  const protocols = protocolsOf(subresource, request);
  const command = parseRemoteCommand(subresource, query);
  if (command === null) throw new StenoError('KUBE_REQUEST_REFUSED', `the parameters of ${subresource}`);
  return { kind: 'command', command, protocols };
}

function protocolsOf(subresource: string, request: IncomingMessage): Protocols {
  if (protocolChange(request, subresource) === 'websocket') {
    const protocols = subprotocols.filter((known) => offered(request, 'sec-websocket-protocol').includes(known));
    if (protocols.length > 0) return protocols;
    throw new StenoError('KUBE_UNSUPPORTED', `${subresource} without ${subprotocols.join(' or ')}`);
  }
  if (offered(request, 'x-stream-protocol-version').includes(SPDY_PROTOCOL)) return null;
  throw new StenoError('KUBE_UNSUPPORTED', `${subresource} over SPDY without ${SPDY_PROTOCOL}`);
}

/** Resolves when the session is over. Rejects if it ended before the client was accepted. */
export async function runCommand(attempt: Attempt, { command, protocols }: CommandWanted): Promise<void> {
  const { entered, upstream, counts, socket } = attempt;
  const pod = await podOf(upstream, entered, command.container);
  attempt.stopIfEnded();
  const facts = factsOf(attempt, pod);
  const { moderation } = entered.authorized.terms!;
  if (moderation.length > 0 && !isListable(facts))
    throw new StenoError('MODERATION_IMPOSSIBLE', 'the names of pod and user are longer than a live list holds');
  const agent = recordingAgent(attempt, pod);
  const tap = await open(attempt, command, facts);
  const watch = watchOf(attempt, pod, command, tap, agent);
  attempt.recorded({
    session: tap.recorder.session,
    async close() {
      await watch?.complete();
      await tap.close();
    },
  });
  attempt.stopIfEnded();
  const relay = new ContainerRelay({
    counts,
    entered,
    tap,
    watch,
    live: attempt.deps.live,
    streams: command,
    about: isListable(facts) ? aboutOf(facts, tap, command) : null,
  });
  if (moderation.length > 0) {
    // Uses the protocol that the client prefers, since the API server has not been asked yet.
    const protocol = protocols === null ? null : protocols[0]!;
    const client = await accept(attempt, command, protocol);
    counts.answered(101);
    attempt.onEnd((error) => relay.end(error));
    return relay.run(client, {
      kind: 'awaited',
      demands: moderation,
      // Uses the decision of the roles at that time.
      async connect() {
        const now = { upstream, entered: { ...entered, authorized: entered.decided() } };
        return dialWatched(attempt, watch, () => dial(now, command, protocol === null ? null : [protocol]));
      },
    });
  }
  const accepted = await dialWatched(attempt, watch, () => dial(attempt, command, protocols));
  if (accepted.kind === 'refused') {
    counts.answered(accepted.code);
    socket.end(accepted.answer);
    tap.recorder.exit(1);
    return;
  }
  counts.answered(101);
  const server = accepted.peer;
  attempt.onEnd((error) => relay.end(error));
  try {
    await relay.run(await accept(attempt, command, server instanceof SpdyPeer ? null : server.protocol), { kind: 'there', server });
  } catch (error) {
    server.close(1000);
    throw error;
  }
}

type Facts = ReturnType<typeof factsOf>;

/** Whether the session's names fit into the list of live sessions, through which others join it. */
function isListable({ user, node, login }: Facts): boolean {
  return user.length <= MAX_LIVE_USER && node.length <= MAX_LIVE_NODE && login.length <= MAX_LIVE_LOGIN;
}

/** The facts shown to participants and used by the rules for joining. */
function aboutOf({ user, node, login, labels }: Facts, tap: SessionTap, { command }: RemoteCommand): RelayDeps['about'] {
  return {
    ...{ user, node, login, labels: labels ?? null, startedAt: sessionTime(tap.recorder.session) },
    kind: kindOf(startOf(command)),
    command: shellWords(command),
  };
}

function startOf(command: readonly string[]): SessionStart {
  return command.length === 0 ? { kind: 'shell' } : { kind: 'exec', command: shellWords(command) };
}

function open(attempt: Attempt, command: RemoteCommand, facts: Facts): Promise<SessionTap> {
  const { deps } = attempt;
  return openSessionTap(
    { recorder: deps.recorder, observe: deps.observe, budget: connectionBudget(), facts },
    { started: true, tty: command.tty, term: '', cols: 80, rows: 24, environment: [] },
    startOf(command.command),
    (error) => attempt.end(error),
  );
}

/**
 * The agent that records the command's kernel events; null: not requested; a text: the reason why no agent can. Throws
 * KERNEL_RECORDING_IMPOSSIBLE.
 */
function recordingAgent({ deps, entered }: Attempt, pod: PodFacts): NodeRecord | string | null {
  const { enhanced } = entered.authorized.terms!;
  if (enhanced.mode === 'off' || enhanced.classes.length === 0) return null;
  try {
    if (deps.pods === undefined) throw new StenoError('KERNEL_RECORDING_IMPOSSIBLE', 'this gateway takes no tunnels of agents');
    return agentOf(deps.snapshot()?.nodes ?? [], entered.cluster, pod);
  } catch (error) {
    const known = asStenoError(error);
    if (enhanced.mode === 'strict') throw known;
    return known.detail ?? known.message;
  }
}

/** Starts the kernel recording; if no agent can record, the recording gets a gap. */
function watchOf(
  attempt: Attempt,
  pod: PodFacts,
  { command }: RemoteCommand,
  { recorder }: SessionTap,
  agent: NodeRecord | string | null,
): PodWatch | null {
  const { deps, entered, user, source } = attempt;
  if (agent === null) return null;
  if (typeof agent === 'string') {
    recorder.gap({ reason: 'kernel_events', detail: agent.slice(0, 1024) });
    return null;
  }
  const asked = entered.target.kind === 'resource' ? entered.target.request : null;
  const node = [entered.cluster, asked?.namespace ?? '', asked?.name ?? ''].join('/');
  return new PodWatch({
    ...{ watching: deps.pods!, agent, enhanced: entered.authorized.terms!.enhanced, argv: command, recorder, now: deps.now },
    pod: { ...pod, namespace: asked?.namespace ?? '', name: asked?.name ?? '' },
    audit: (entry) =>
      deps.recorder.audit({
        ...{ actor: user.identity.user, source_address: source, node, login: entered.authorized.impersonate },
        ...entry,
      }),
    fail: (error) => attempt.end(error),
  });
}

/** The command line as typed in a shell: plain words unchanged, others quoted. */
function shellWords(words: readonly string[]): string {
  return words.map((word) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}

/** Makes the agent expect the command before asking the API server. Rejects KUBE_UNREACHABLE, or the reason why the attempt has ended. */
async function dialWatched(attempt: Attempt, watch: PodWatch | null, ask: () => Promise<Dialled>): Promise<Dialled> {
  await watch?.begin();
  attempt.stopIfEnded();
  const answer = await ask();
  if (answer.kind === 'accepted') watch?.accepted();
  return answer;
}

/** Rejects KUBE_UNREACHABLE. */
async function dial(
  { upstream, entered }: Pick<Attempt, 'upstream' | 'entered'>,
  command: RemoteCommand,
  protocols: Protocols,
): Promise<Dialled> {
  const query = formatRemoteCommand(command);
  if (protocols !== null) return dialWebSocket(upstream, entered, query, protocols);
  const answer = await dialSpdy(upstream, entered, query, SPDY_PROTOCOL);
  if (answer.kind === 'refused') return answer;
  return { kind: 'accepted', peer: new SpdyPeer(answer.socket, 'client', answer.head, command) };
}

/** Agrees on the protocol with the client; null: SPDY/3.1. Rejects KUBE_UNREACHABLE if the client is gone. */
function accept({ request, socket, head }: Attempt, command: RemoteCommand, protocol: Subprotocol | null): Promise<Peer> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new StenoError('KUBE_UNREACHABLE', CLIENT_GONE));
    if (socket.destroyed) return gone();
    socket.once('close', gone);
    if (protocol === null) {
      acceptSpdy(socket, SPDY_PROTOCOL);
      return resolve(new SpdyPeer(socket, 'server', head, command));
    }
    acceptWebSocket(request, socket, head, protocol, (client) => resolve(new WebSocketPeer(client, protocol)));
  });
}
