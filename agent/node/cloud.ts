/**
 * Reads the tags of this instance from the metadata services of three clouds.
 *
 * | cloud | how it is identified and queried                                                                        | | aws   | IMDSv2: PUT /latest/api/token, then GET with that token; tags must be allowed in instance metadata    | | gcp   | GET with `Metadata-Flavor: Google`, which the answer must carry as well; tags are instance attributes | | azure | GET with `Metadata: true`; tags come as a list                                                        |
 *
 * Uses only http to one address, link-local by default; redirects and proxies are not used, and answers are limited to 256
 * KiB and 2 s. IMDSv1 is never used: if the token is refused, there is no answer. Tags become `node/tag/KEY`; characters not
 * allowed in labels become `-`. Tested in test/agent/labels.test.ts, against servers for each protocol.
 */
import { request } from 'node:http';
import { OWN_LABEL_PREFIX, labelKey } from '#schemas/join.js';
import { printableLine } from './labels.js';

export const clouds = ['aws', 'gcp', 'azure'] as const;
export type Cloud = (typeof clouds)[number];

const DEFAULT_ENDPOINT = 'http://169.254.169.254';
const LIMIT_MS = 2_000;
const MAX_ANSWER = 256 << 10;
const MAX_TAGS = 48;

/** Null: this cloud does not answer here, or not correctly. */
export async function cloudLabels(cloud: Cloud, endpoint: string = DEFAULT_ENDPOINT): Promise<Readonly<Record<string, string>> | null> {
  const tags = await askers[cloud](endpoint).catch(() => null);
  if (tags === null) return null;
  const labels: Record<string, string> = { [`${OWN_LABEL_PREFIX}cloud`]: cloud };
  for (const [tag, value] of tags.slice(0, MAX_TAGS)) {
    const key = `${OWN_LABEL_PREFIX}tag/${tag.toLowerCase().replaceAll(/[^a-z0-9_./-]/g, '-')}`.slice(0, 63);
    // Of two tags that map to the same label, the first one counts.
    if (labelKey.safeParse(key).success && !Object.hasOwn(labels, key)) labels[key] = printableLine(value);
  }
  return labels;
}

type Tags = readonly (readonly [string, string])[];
const askers: Readonly<Record<Cloud, (endpoint: string) => Promise<Tags | null>>> = { aws, gcp, azure };

async function aws(endpoint: string): Promise<Tags | null> {
  const token = await ask(endpoint, 'PUT', '/latest/api/token', { 'x-aws-ec2-metadata-token-ttl-seconds': '60' });
  if (token === null || !/^[\x21-\x7e]{1,512}$/.test(token.body)) return null;
  const get = async (path: string): Promise<string | null> =>
    (await ask(endpoint, 'GET', path, { 'x-aws-ec2-metadata-token': token.body }))?.body ?? null;
  const keys = await get('/latest/meta-data/tags/instance/');
  if (keys === null) return [];
  const tags: [string, string][] = [];
  for (const key of keys
    .split('\n')
    .filter((line) => line !== '')
    .slice(0, MAX_TAGS)) {
    const value = await get(`/latest/meta-data/tags/instance/${encodeURIComponent(key)}`);
    if (value !== null) tags.push([key, value]);
  }
  return tags;
}

async function gcp(endpoint: string): Promise<Tags | null> {
  const answer = await ask(endpoint, 'GET', '/computeMetadata/v1/instance/attributes/?recursive=true', { 'metadata-flavor': 'Google' });
  // A server that answers without this header is something else, such as a captive portal.
  if (answer === null || answer.flavor !== 'Google') return null;
  const value: unknown = JSON.parse(answer.body);
  return isRecord(value)
    ? Object.entries(value).flatMap(([key, one]) => (typeof one === 'string' && one.length <= 255 ? [[key, one] as const] : []))
    : null;
}

async function azure(endpoint: string): Promise<Tags | null> {
  const answer = await ask(endpoint, 'GET', '/metadata/instance/compute/tagsList?api-version=2021-02-01', { metadata: 'true' });
  const value: unknown = answer === null ? null : JSON.parse(answer.body);
  if (!Array.isArray(value)) return null;
  return value.flatMap((tag: unknown) =>
    isRecord(tag) && typeof tag['name'] === 'string' && typeof tag['value'] === 'string' ? [[tag['name'], tag['value']] as const] : [],
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Null for any status but 200. */
function ask(
  endpoint: string,
  method: 'GET' | 'PUT',
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ readonly body: string; readonly flavor: unknown } | null> {
  return new Promise((resolve, reject) => {
    const call = request(
      endpoint,
      { method, path, headers: { ...headers, ...(method === 'PUT' ? { 'content-length': '0' } : {}) }, agent: false },
      (answer) => {
        const chunks: Buffer[] = [];
        let length = 0;
        answer.on('data', (chunk: Buffer) => {
          length += chunk.length;
          if (length > MAX_ANSWER) call.destroy(new Error('too long an answer'));
          else chunks.push(chunk);
        });
        answer.on('error', reject);
        answer.on('end', () =>
          resolve(
            answer.statusCode === 200 ? { body: Buffer.concat(chunks).toString('utf8'), flavor: answer.headers['metadata-flavor'] } : null,
          ),
        );
      },
    );
    const timer = setTimeout(() => call.destroy(new Error('no answer in time')), LIMIT_MS);
    call.on('close', () => clearTimeout(timer));
    call.on('error', reject);
    call.end();
  });
}
