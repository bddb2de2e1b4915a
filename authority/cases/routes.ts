/** Routes about what people make of recordings: notes, cases and saved searches. */
import type { Route } from '../http/server.js';
import { bookRoutes } from './cases.js';
import type { BookParts } from './cases.js';
import { noteRoutes } from './notes.js';
import type { NoteParts } from './notes.js';
import { savedSearchRoutes } from './saved-searches.js';
import type { SavedSearchParts } from './saved-searches.js';

export interface CaseRouteParts extends BookParts, NoteParts, SavedSearchParts {}

export function caseRoutes(parts: CaseRouteParts): readonly Route[] {
  return [...bookRoutes(parts), ...noteRoutes(parts), ...savedSearchRoutes(parts)];
}
