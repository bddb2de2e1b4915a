/** Endpoints for detection: rules, findings, triage and automatic responses. */
import { responseEndpoints } from './responses.js';
import { hashEndpoints } from './hashes.js';
import { honeyEndpoints } from './honey.js';
import { catalogueEndpoints } from './rule-catalogue.js';
import { ruleEndpoints } from './rules.js';
import { siemEndpoints } from './siem.js';
import { suppressionEndpoints } from './suppressions.js';
import { triageEndpoints } from './triage.js';

export const detectionEndpoints = [
  ...hashEndpoints,
  ...honeyEndpoints,
  ...responseEndpoints,
  ...ruleEndpoints,
  ...catalogueEndpoints,
  ...siemEndpoints,
  ...suppressionEndpoints,
  ...triageEndpoints,
] as const;
