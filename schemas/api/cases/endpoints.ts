/** Endpoints for working with recordings: notes, cases and saved searches. */
import { caseEndpoints } from './cases.js';
import { noteEndpoints } from './notes.js';
import { savedSearchEndpoints } from './saved-searches.js';

export const casesEndpoints = [...caseEndpoints, ...noteEndpoints, ...savedSearchEndpoints] as const;
