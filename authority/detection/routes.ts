/** Routes about detection: rules, new findings, suppressions, triage, automatic responses, and SIEM destinations. */
import type { Route } from '../http/server.js';
import { announcementRoutes } from './announcements.js';
import type { AnnouncementParts } from './announcements.js';
import { honeyRoutes } from './honey.js';
import type { HoneyParts } from './honey.js';
import { hashRoutes } from './hashes.js';
import type { HashParts } from './hashes.js';
import { responseRoutes } from './responses.js';
import type { ResponseParts } from './responses.js';
import { ruleRoutes } from './rules.js';
import type { RuleParts } from './rules.js';
import { catalogueRoutes } from './rule-catalogue.js';
import { siemRoutes } from './siem.js';
import type { SiemParts } from './siem.js';
import { triageRoutes } from './triage.js';
import type { TriageParts } from './triage.js';

export interface DetectionParts extends AnnouncementParts, HashParts, HoneyParts, ResponseParts, RuleParts, SiemParts, TriageParts {}

export function detectionRoutes(parts: DetectionParts): readonly Route[] {
  return [
    ...announcementRoutes(parts),
    ...hashRoutes(parts),
    ...honeyRoutes(parts),
    ...responseRoutes(parts),
    ...ruleRoutes(parts),
    ...catalogueRoutes(parts),
    ...siemRoutes(parts),
    ...triageRoutes(parts),
  ];
}
