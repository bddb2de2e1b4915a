/** The routes of patterns over sessions. Tested in patterns.test.ts. */
import { listAlike, showPatterns } from '#schemas/api/recordings/patterns.js';
import { sourceAddress } from '../http/guard.js';
import { parseSessionId } from '../http/query.js';
import type { Serving } from '../http/serve.js';
import { alikeFor, patternsFor } from './patterns.js';
import type { PatternParts } from './patterns.js';

export function patternRoutes(serving: Serving, parts: PatternParts): void {
  serving.signedIn(showPatterns, (viewer, { request, query }) => patternsFor(parts, viewer, sourceAddress(request), query));
  serving.signedIn(listAlike, (viewer, { request, params, query }) =>
    alikeFor(parts, viewer, sourceAddress(request), parseSessionId(params.id), query),
  );
}
