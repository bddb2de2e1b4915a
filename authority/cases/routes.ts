/** Routes of notes, cases and saved searches. */
import type { Route } from '../http/server.js';
import { bookRoutes } from './cases.js';
import type { BookParts } from './cases.js';
import { noteRoutes } from './notes.js';
import type { NoteParts } from './notes.js';
import { savedSearchRoutes } from './saved-searches.js';
import { searchRunRoutes } from './search-runs.js';
import type { SearchRunParts } from './search-runs.js';

export interface CaseRouteParts extends BookParts, NoteParts, SearchRunParts {}

export function caseRoutes(parts: CaseRouteParts): readonly Route[] {
  return [...bookRoutes(parts), ...noteRoutes(parts), ...savedSearchRoutes(parts), ...searchRunRoutes(parts)];
}
