/** The routes of findings. Tested in findings.test.ts. */
import { countFindings, listFindings, showFinding } from '#schemas/api/recordings/findings.js';
import { showResponse } from '#schemas/api/recordings/response.js';
import { sourceAddress } from '../http/guard.js';
import type { Serving } from '../http/serve.js';
import { Findings } from './findings.js';
import type { FindingParts } from './findings.js';

export function findingRoutes(serving: Serving, parts: FindingParts): Findings {
  const findings = new Findings(parts);
  serving.signedIn(listFindings, (viewer, { query }) => findings.list(viewer, query));
  serving.signedIn(countFindings, (viewer, { query }) => findings.counts(viewer, query));
  serving.signedIn(showResponse, (viewer, { query }) => findings.response(viewer, query));
  serving.signedIn(showFinding, (viewer, { request, params }) => findings.show(viewer, sourceAddress(request), params.id));
  return findings;
}
