/** A kernel event of a node, as returned by the HTTP interface. */
import { z } from 'zod';

export const kernelEventInfo = z
  .strictObject({
    /** Position among the session's events: pass the last one as `after` to continue. */
    place: z.string(),
    at: z.int(),
    /** ms of session time. */
    offset: z.number(),
    kind: z.string(),
    path: z.string(),
    size: z.number().nullable(),
    sha256: z.string(),
    address: z.string(),
    port: z.number().nullable(),
    name: z.string(),
    reason: z.string(),
    outcome: z.string(),
    count: z.number().nullable(),
    data: z.record(z.string(), z.unknown()).readonly(),
  })
  .readonly();
export type KernelEventInfo = z.output<typeof kernelEventInfo>;
