/**
 * The requests and channels that pass between client and node: the whole policy of the relay on one screen. Anything not named
 * here is answered as unknown.
 */
import { REPORT_REQUEST } from '#schemas/kernel/orders.js';

export type RequestRule =
  | 'pass'
  /** Passes to nodes that identify as OpenSSH: clients send these because the gateway does, and expect no answer. */
  | 'openssh'
  /** Starts the session; recorded first. */
  | 'start'
  | 'environment'
  | 'terminal'
  | 'resize'
  | 'signal'
  | 'agent'
  | 'exit'
  /** A report of kernel recording, for the gateway, which requested it. */
  | 'report'
  /** Needs the port forwarding permission; the answer to `listen` names a port. */
  | 'listen'
  | 'drop';

/** Channel requests of the client. X11 is refused: a display cannot be recorded and would be a way around the recording. */
export const clientRequests: ReadonlyMap<string, RequestRule> = new Map<string, RequestRule>([
  ['shell', 'start'],
  ['exec', 'start'],
  ['subsystem', 'start'],
  ['pty-req', 'terminal'],
  ['env', 'environment'],
  ['window-change', 'resize'],
  ['signal', 'signal'],
  ['auth-agent-req@openssh.com', 'agent'],
  ['break', 'pass'],
  ['xon-xoff', 'pass'],
  ['eow@openssh.com', 'openssh'],
  ['keepalive@openssh.com', 'pass'],
  // PuTTY measures its window with the answers to this request; servers decline it.
  ['winadj@putty.projects.tartarus.org', 'pass'],
  ['simple@putty.projects.tartarus.org', 'drop'],
]);

export const nodeRequests: ReadonlyMap<string, RequestRule> = new Map<string, RequestRule>([
  ['exit-status', 'exit'],
  ['exit-signal', 'exit'],
  [REPORT_REQUEST, 'report'],
  ['xon-xoff', 'pass'],
  ['eow@openssh.com', 'pass'],
  ['keepalive@openssh.com', 'pass'],
]);

/** Global requests of the client. */
export const clientGlobals: ReadonlyMap<string, RequestRule> = new Map<string, RequestRule>([
  ['tcpip-forward', 'listen'],
  ['streamlocal-forward@openssh.com', 'listen'],
  ['cancel-tcpip-forward', 'pass'],
  ['cancel-streamlocal-forward@openssh.com', 'pass'],
  ['keepalive@openssh.com', 'pass'],
  ['no-more-sessions@openssh.com', 'openssh'],
]);

/** Global requests of the node. Its host keys are withheld: the client must not take them for the gateway's. */
export const nodeGlobals: ReadonlyMap<string, RequestRule> = new Map<string, RequestRule>([
  ['keepalive@openssh.com', 'pass'],
  ['hostkeys-00@openssh.com', 'drop'],
]);

export type ChannelRule = 'session' | 'tcp' | 'socket' | 'agent';
export const clientChannels: ReadonlyMap<string, ChannelRule> = new Map([
  ['session', 'session'],
  ['direct-tcpip', 'tcp'],
  ['direct-streamlocal@openssh.com', 'socket'],
]);
export const nodeChannels: ReadonlyMap<string, ChannelRule> = new Map([
  ['forwarded-tcpip', 'tcp'],
  ['forwarded-streamlocal@openssh.com', 'socket'],
  ['auth-agent@openssh.com', 'agent'],
]);

/** Sent to the node in place of a refused request, so that replies stay in order. */
export const REFUSED_REQUEST = 'refused@steno';
