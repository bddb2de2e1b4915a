/** Steps 21 to 30, by number. */
import { honeyTokens } from './0021_honey_tokens.js';
import { cases } from './0024_cases.js';
import { workbench } from './0025_workbench.js';
import { liveSharing } from './0026_live_sharing.js';
import { siemDestinations } from './0027_siem_destinations.js';
import { savedQueries } from './0028_saved_queries.js';
import { ruleCounts } from './0029_rule_counts.js';

export const thirdMigrations = {
  '0021_honey_tokens': honeyTokens,
  '0024_cases': cases,
  '0025_workbench': workbench,
  '0026_live_sharing': liveSharing,
  '0027_siem_destinations': siemDestinations,
  '0028_saved_queries': savedQueries,
  '0029_rule_counts': ruleCounts,
} as const;
