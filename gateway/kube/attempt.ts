/** A request to change the protocol, on its way to becoming a session: the parts that both kinds of streams need. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { StenoError } from '#schemas/base/errors.js';
import type { OpenFacts, Recorder } from '../recorder/recorder.js';
import type { LiveSessions } from '../live/live-sessions.js';
import type { SessionSlots } from '../sessions/slots.js';
import type { Observe } from '../ssh/relay/session-recording.js';
import type { ProxyDeps } from './proxy.js';
import type { CertifiedUser } from '#runtime/http/x509-user.js';
import type { Counts } from './requests/request-event.js';
import type { Entered } from './requests/request.js';
import type { Upstream } from './requests/upstreams.js';
import type { PodWatching } from './streams/pod-watch.js';

export interface StreamingDeps extends ProxyDeps {
  readonly recorder: Recorder;
  readonly slots: SessionSlots;
  readonly observe: Observe;
  /** The live sessions of the whole gateway, with their participants. */
  readonly live: LiveSessions;
  /** Absent: no agent records commands in pods. */
  readonly pods?: PodWatching;
  /** Makes the gateway wait for the recording when it shuts down. */
  track(closing: Promise<void>): void;
}

export interface Attempt {
  readonly deps: StreamingDeps;
  readonly user: CertifiedUser;
  readonly source: string;
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly entered: Entered;
  readonly upstream: Upstream;
  readonly counts: Counts;
  /** Throws the reason if a lock, roles or limits have ended the attempt. */
  stopIfEnded(): void;
  /** Ends the attempt for this reason; only the first call counts. */
  end(error: StenoError): void;
  /** Sets the callback for the end from now on; called immediately if the attempt has ended. */
  onEnd(told: (error: StenoError) => void): void;
  /** Sets the recording once it is open; it is closed with the attempt. */
  recorded(recording: { readonly session: string; close(): Promise<void> }): void;
}

/** The recorded user, the path of the connection, and the pod. */
export function factsOf(
  { user: { identity }, source, request: { headers }, entered: { cluster, target, authorized } }: Attempt,
  pod: { readonly container: string; readonly image: string },
): Omit<OpenFacts, 'kind' | 'tty'> {
  const asked = target.kind === 'resource' ? target.request : null;
  const [namespace, name] = [asked?.namespace ?? '', asked?.name ?? ''];
  return {
    user: identity.user,
    roles: authorized.roles,
    requests: identity.requests,
    node: [authorized.cluster.name, namespace, name].join('/'),
    login: authorized.impersonate,
    source_address: source,
    client_version: headers['user-agent'] ?? '',
    certificate_serial: identity.serial,
    certificate_key_id: identity.keyId,
    recording: authorized.terms!.recording,
    labels: authorized.cluster.labels,
    pod: { cluster, namespace, pod: name, container: pod.container, image: pod.image },
  };
}
