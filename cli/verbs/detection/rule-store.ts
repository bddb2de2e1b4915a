/** `steno rules add|enable|disable|rm|show`: the rules that the authority keeps for its analyzers. */
import { execFileSync } from 'node:child_process';
import { dirname, relative, resolve } from 'node:path';
import { deleteRule, enableRule, putRules, showRule } from '#schemas/api/detection/rules.js';
import { MAX_RULE_TEXT, ruleDocument } from '#schemas/documents/detection-rule.js';
import type { RuleText } from '#schemas/documents/detection-rule.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import type { Answer } from '#schemas/endpoint/endpoint.js';
import { splitRules } from '../../../analyzer/sigma/document.js';
import { parseRule } from '../../../analyzer/sigma/rule.js';
import { readRuleFiles } from '../../../analyzer/sigma/rule-files.js';
import { loadRules } from '../../../analyzer/sigma/rule-set.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { json, moment, standardOutput, styled, visible } from '../../terminal/output.js';

/** Limit of one call, below the authority's limit. */
const CALL_BYTES = 180 * 1024;
const CALL_RULES = 100;

/** Every document of the files, read strictly. Throws RULE_INVALID for the first that is not valid or has no id. */
function documentsOf(path: string): readonly RuleText[] {
  const { rules: files } = readRuleFiles(path);
  const [fault] = loadRules(files).faults;
  if (fault !== undefined) throw fault;
  const found = new Map<string, RuleText>();
  const commits = new Map<string, string>();
  for (const { name, text } of files)
    for (const { source, firstLine } of splitRules(text, name)) {
      const rule = parseRule(source, name, firstLine);
      const id = rule.id || rule.name;
      const where = `${name}:${firstLine}:1`;
      if (id === '') throw new StenoError('RULE_INVALID', `${where}: has no id, by which it could be kept`);
      if (found.has(id)) throw new StenoError('RULE_INVALID', `${where}: has the id of another rule: ${id}`);
      const folder = dirname(resolve(name));
      const commit = commits.get(folder) ?? commitOf(folder);
      commits.set(folder, commit);
      const document = ruleDocument.safeParse({
        ...{ id, kind: rule.kind, title: rule.title, text: source },
        level: rule.kind === 'filter' ? '' : rule.level,
        origin: { file: relative(commit === '' ? '' : topOf(folder), resolve(name)).slice(0, 1024), commit },
      });
      if (!document.success) {
        const long = Buffer.byteLength(source) > MAX_RULE_TEXT ? `over ${MAX_RULE_TEXT / 1024} KiB` : document.error.issues[0]?.message;
        throw new StenoError('RULE_INVALID', `${where}: ${long ?? 'cannot be kept'}`);
      }
      found.set(id, document.data);
    }
  return [...found.values()];
}

function git(folder: string, ...words: readonly string[]): string {
  try {
    return execFileSync('git', ['-C', folder, ...words], { encoding: 'utf8', timeout: 5_000, stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return '';
  }
}

/** '' outside of a repository. */
function commitOf(folder: string): string {
  const commit = git(folder, 'rev-parse', 'HEAD');
  if (!/^[0-9a-f]{40,64}$/.test(commit)) return '';
  return git(folder, 'status', '--porcelain', '--', '.') === '' ? commit : `${commit}-dirty`;
}

function topOf(folder: string): string {
  return git(folder, 'rev-parse', '--show-toplevel');
}

export async function addRules(path: string, options: { readonly disabled?: boolean; readonly json?: boolean }): Promise<void> {
  const documents = documentsOf(path);
  if (documents.length === 0) throw new StenoError('NOT_FOUND', `${path} has no rules`);
  const client = openClient(openHome());
  const done: Answer<typeof putRules>[number][] = [];
  for (const rules of chunksOf(documents))
    done.push(...(await call(client.authority, putRules, { body: { rules, enabled: options.disabled !== true } })));
  if (options.json === true) return json(standardOutput, done);
  const { out, env } = standardOutput;
  for (const { id, version, change } of done)
    if (change !== 'unchanged') out.write(`${styled(out, env, 'green', '✓')} ${visible(id)} is ${change}, version ${version}\n`);
  const count = (what: string): number => done.filter(({ change }) => change === what).length;
  out.write(`${count('added')} added, ${count('changed')} changed, ${count('unchanged')} as they were\n`);
}

function* chunksOf(documents: readonly RuleText[]): Generator<readonly RuleText[]> {
  let chunk: RuleText[] = [];
  let bytes = 0;
  for (const document of documents) {
    const size = Buffer.byteLength(JSON.stringify(document));
    if (chunk.length > 0 && (bytes + size > CALL_BYTES || chunk.length === CALL_RULES)) {
      yield chunk;
      [chunk, bytes] = [[], 0];
    }
    chunk.push(document);
    bytes += size;
  }
  if (chunk.length > 0) yield chunk;
}

export async function showKeptRule(id: string, options: { readonly version?: number; readonly json?: boolean }): Promise<void> {
  const rule = await call(openClient(openHome()).authority, showRule, { params: { name: id } });
  if (options.json === true) return json(standardOutput, rule);
  const wanted = options.version ?? rule.version;
  const found = rule.versions.find(({ version }) => version === wanted);
  if (found === undefined) throw new StenoError('NOT_FOUND', `version ${wanted} of rule ${id}`);
  const { file, commit } = found.origin;
  const from = [file, commit === '' ? '' : `Git ${commit}`].filter((text) => text !== '').join(', ');
  standardOutput.err.write(
    visible(
      `version ${wanted} of ${rule.versions[0]?.version ?? wanted}, by ${found.by}, ${moment(found.at)}${from === '' ? '' : `; from ${from}`}`,
    ) + '\n',
  );
  standardOutput.out.write(`${found.text.split('\n').map(visible).join('\n').trimEnd()}\n`);
}

export async function setKeptRule(ids: readonly string[], enabled: boolean): Promise<void> {
  const client = openClient(openHome());
  const { out, env } = standardOutput;
  for (const name of ids) {
    await call(client.authority, enableRule, { params: { name }, body: { enabled } });
    out.write(`${styled(out, env, 'green', '✓')} ${visible(name)} is ${enabled ? 'enabled' : 'disabled'}\n`);
  }
}

export async function removeKeptRule(ids: readonly string[]): Promise<void> {
  const client = openClient(openHome());
  const { out, env } = standardOutput;
  for (const name of ids) {
    await call(client.authority, deleteRule, { params: { name } });
    out.write(`${styled(out, env, 'green', '✓')} ${visible(name)} is removed\n`);
  }
}
