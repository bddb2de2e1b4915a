/**
 * Kernel recording of a command in a container: the messages between a gateway and the agent on the Kubernetes node, as lines of JSON in
 * a stream of the agent's tunnel (../tunnel.ts), one stream per command:
 *
 *     gateway ──order, before the API server is asked──► agent: finds the container, expects the command
 *     gateway ◄──on───────────────────────────────────── agent
 *     gateway ◄──started, gaps, read, off─────────────── agent
 *     gateway ──shown: the command has run by now──────► agent: accepts no further process as the command
 *     gateway ──end of the stream: the command is over─► agent: reports what is missing, and ends too
 *
 * Order and reports are those of sessions over SSH (orders.ts) and grow in the same way. Tested in pod-orders.test.ts.
 */
import { z } from 'zod';
import { orderRequest } from './orders.js';

/** Longest line. The arguments of a command come in a request line, which is shorter. */
export const MAX_POD_LINE = 256 << 10;

/** The runtime's id: 32 bytes in hex, as containerd and CRI-O name containers. */
const containerId = z.string().regex(/^[0-9a-f]{64}$/);

export const podOrder = orderRequest.extend({
  container: containerId,
  pod_uid: z.string().max(64),
  namespace: z.string().max(253),
  pod: z.string().max(253),
  /** Empty: the processes already running in the container, as long as the stream is open. */
  argv: z.array(z.string()).max(1_024),
});
export type PodOrder = z.infer<typeof podOrder>;

/** A gateway's message after its order. */
export const podWord = z.object({ said: z.literal('shown') });

/** The command's start was seen, and the command is followed. Other reports are in orders.ts. */
export const startedReport = z.object({ state: z.literal('started') });
export type StartedReport = z.infer<typeof startedReport>;
