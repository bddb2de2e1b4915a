/** `steno get`, `apply`, `edit`, `rm`, `roles`: resources as YAML documents. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { Command, Option } from 'commander';
import { StenoError } from '#schemas/base/errors.js';
import { MAX_FILE, parseResources } from '#runtime/resources/document.js';
import type { Resource } from '#runtime/resources/document.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { failure, json, standardOutput, styled, visible } from '../../terminal/output.js';
import { kindsText, resourcesOf } from '../../resources/kinds.js';
import type { AppliedResource } from '../../resources/resource.js';

export function getCommand(): Command {
  return new Command('get')
    .description('list resources of a kind, or print one as the YAML it was written as')
    .argument('<kind>', kindsText)
    .argument('[name]')
    .addOption(new Option('--format <format>', 'of one resource').choices(['yaml', 'json']).default('yaml'))
    .option('--json', 'as --format json, and of lists too')
    .action(async (word: string, name: string | undefined, options: { format: string; json?: boolean }) => {
      const kind = resourcesOf(word);
      const client = openClient(openHome());
      const asJson = options.json === true || options.format === 'json';
      if (name === undefined) return asJson ? json(standardOutput, await kind.values(client)) : kind.list(client);
      const found = await kind.get(client, name);
      if (asJson) return json(standardOutput, { ...found, kind: kind.kind });
      // Documents come from people: what would move the cursor is shown.
      standardOutput.out.write(standardOutput.out.isTTY === true ? found.source.split('\n').map(visible).join('\n') : found.source);
    });
}

export function rolesCommand(): Command {
  return new Command('roles')
    .description('list roles; the same as `steno get roles`')
    .option('--json', 'print JSON')
    .action(async (options: { json?: boolean }) => {
      const kind = resourcesOf('role');
      const client = openClient(openHome());
      return options.json === true ? json(standardOutput, await kind.values(client)) : kind.list(client);
    });
}

export function applyCommand(): Command {
  return new Command('apply')
    .description('create or change resources by YAML documents: all of a file, or nothing')
    .requiredOption('-f, --file <file>', 'YAML documents; - for standard input')
    .option('--check', 'only say what would happen')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nThe fields of roles are explained in docs/roles.md, those of connectors (oidc, saml) in docs/single-sign-on.md, those of webhooks in docs/access-requests.md, those of SIEM destinations (siem) in docs/siem.md.\n',
    )
    .action(async (options: { file: string; check?: boolean; json?: boolean }) => {
      const { text, name } = readInput(options.file);
      const resources = parseResources(text, name);
      const client = openClient(openHome());
      const applied: (AppliedResource & { readonly kind: string })[] = [];
      for (const [word, given] of byKind(resources)) {
        const results = await resourcesOf(word).apply(
          client,
          given.map(({ source }) => ({ source })),
          options.check === true,
        );
        applied.push(...results.map((result) => ({ ...result, kind: word })));
      }
      if (options.json === true) return json(standardOutput, applied);
      for (const result of applied) standardOutput.out.write(`${told(result.kind, result, options.check === true)}\n`);
    });
}

export function rmCommand(): Command {
  return new Command('rm')
    .description('remove a resource')
    .argument('<kind>', kindsText)
    .argument('<name>')
    .action(async (word: string, name: string) => {
      const kind = resourcesOf(word);
      await kind.remove(openClient(openHome()), name);
      standardOutput.out.write(`${kind.kind} ${name} removed\n`);
    });
}

export function editCommand(): Command {
  return new Command('edit')
    .description('change a resource in your editor ($VISUAL or $EDITOR)')
    .argument('<kind>', kindsText)
    .argument('<name>')
    .action(async (word: string, name: string) => {
      const kind = resourcesOf(word);
      const client = openClient(openHome());
      const before = await kind.get(client, name);
      const folder = mkdtempSync(join(tmpdir(), 'steno-edit-'));
      const file = join(folder, `${name}.yaml`);
      writeFileSync(file, before.source, { mode: 0o600 });
      for (;;) {
        runEditor(file);
        const source = readFileSync(file, 'utf8');
        if (source === before.source) {
          rmSync(folder, { recursive: true });
          standardOutput.out.write(`${kind.kind} ${name} is as it was\n`);
          return;
        }
        try {
          const [only, second] = parseResources(source, file);
          if (second !== undefined || only!.kind !== kind.kind || only!.name !== name)
            throw new StenoError('USAGE', `the file must stay the one document of ${kind.kind} ${name}; make others with steno apply`);
          const [result] = await kind.apply(client, [{ source: only!.source, revision: before.revision }], false);
          rmSync(folder, { recursive: true });
          standardOutput.out.write(`${told(kind.kind, result!, false)}\n`);
          return;
        } catch (error) {
          if (!(error instanceof StenoError && error.code === 'DOCUMENT_INVALID' && (await again(error)))) {
            standardOutput.err.write(`Your text is kept in ${file}\n`);
            throw error;
          }
        }
      }
    });
}

/** Whether to open the editor again, asked on a terminal only. */
async function again(error: StenoError): Promise<boolean> {
  if (!process.stdin.isTTY) return false;
  failure(standardOutput, error, false);
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await lines.question('Edit again? [Y/n] ');
  lines.close();
  return !/^n/i.test(answer.trim());
}

/** Runs the editor as git does: the setting may contain options, and the file is a separate argument. */
function runEditor(file: string): void {
  const editor = process.env['VISUAL'] || process.env['EDITOR'] || 'vi';
  const { status, error } = spawnSync('/bin/sh', ['-c', `${editor} "$1"`, 'sh', file], { stdio: 'inherit' });
  if (error !== undefined || status !== 0)
    throw new StenoError('USAGE', `the editor ${JSON.stringify(editor)} ended with ${status ?? 'an error'}; your text is in ${file}`);
}

function readInput(file: string): { readonly text: string; readonly name: string } {
  try {
    const text = readFileSync(file === '-' ? 0 : file, 'utf8');
    if (text.length > MAX_FILE) throw new StenoError('TOO_LARGE', `${file} is over 1 MiB`);
    return { text, name: file === '-' ? 'standard input' : file };
  } catch (cause) {
    if (cause instanceof StenoError) throw cause;
    throw new StenoError('USAGE', `${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function byKind(resources: readonly Resource[]): ReadonlyMap<string, readonly Resource[]> {
  const found = new Map<string, Resource[]>();
  for (const resource of resources) found.set(resource.kind, [...(found.get(resource.kind) ?? []), resource]);
  return found;
}

function told(kind: string, { name, outcome, from, to }: AppliedResource, check: boolean): string {
  const revision = to === null ? '' : outcome === 'updated' ? ` (revision ${from} to ${to})` : ` (revision ${to})`;
  const word = check
    ? { created: 'would be created', updated: 'would be updated', unchanged: 'is as it was' }[outcome]
    : { created: 'created', updated: 'updated', unchanged: 'is as it was' }[outcome];
  return `${kind} ${styled(standardOutput.out, standardOutput.env, 'bold', name)} ${word}${revision}`;
}
