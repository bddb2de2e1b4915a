/** The kinds of resources written as YAML documents. Each has a name and a schema that refuses unknown fields. */
import { oidcDocumentSchema, samlDocumentSchema } from '#schemas/documents/connector.js';
import { roleSchema } from '#schemas/policy/role.js';
import { siemSchema } from '#schemas/documents/siem.js';
import { webhookSchema } from '#schemas/documents/webhook.js';

export const resourceSchemas = {
  role: roleSchema,
  oidc: oidcDocumentSchema,
  saml: samlDocumentSchema,
  webhook: webhookSchema,
  siem: siemSchema,
} as const;
export type StoredKind = keyof typeof resourceSchemas;

export function isResourceKind(text: string): text is StoredKind {
  return Object.hasOwn(resourceSchemas, text);
}
