/**
 * A finding as an OCSF 1.5 event: class Detection Finding (2004), one JSON object per line. Pure.
 *
 * Facts without an OCSF field are omitted; the link to the page leads to them. Tested in ocsf.test.ts, and against the
 * models of py-ocsf-models where they are installed.
 */
import type { AnnouncedFinding } from '#schemas/api/detection/suppressions.js';
import { ocsfDetection } from '#schemas/ocsf/finding.js';
import { findingHeadline, findingLink } from './finding-messages.js';
import type { Outgoing } from './formats.js';

/** `now`: ms since 1970. */
export function ocsfFinding(finding: AnnouncedFinding, web: string, now: number): object {
  return ocsfDetection(finding, findingHeadline(finding), findingLink(finding, web), now);
}

export function ocsfMessage(finding: AnnouncedFinding, web: string, delivery: string, token: string, now: number): Outgoing {
  return {
    path: '',
    headers: { 'content-type': 'application/x-ndjson', authorization: `Bearer ${token}`, 'steno-delivery': delivery },
    body: `${JSON.stringify(ocsfFinding(finding, web, now))}\n`,
  };
}
