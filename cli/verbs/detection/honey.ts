/** `steno honey`: credentials and paths that grant nothing, and are watched for. Tested in test/kernel/honey.test.ts. */
import { generateKeyPairSync, randomInt } from 'node:crypto';
import { Argument, Command } from 'commander';
import { addHoneyToken, listHoneyTokens, removeHoneyToken } from '#schemas/api/detection/honey.js';
import type { HoneyToken } from '#schemas/api/detection/honey.js';
import { honeyKinds, honeyText } from '#schemas/documents/honey-token.js';
import type { HoneyKind } from '#schemas/documents/honey-token.js';
import { StenoError } from '#schemas/base/errors.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import { json, moment, standardOutput, table } from '../../terminal/output.js';

const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const LETTERS = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789';

const more = `
Kinds: aws, ssh and password are made up and printed once, to be put where somebody who should not look would find them.
url, path and text are read from standard input, one line: a path that nobody opens, an address that nobody visits.
Examples:
  steno honey add aws --note "~/.aws/credentials on backup-1" > credentials
  echo /srv/backup/passwords.kdbx | steno honey add path
`;

export function honeyCommand(): Command {
  const honey = new Command('honey')
    .description('make fake credentials and paths whose appearance in a session is a finding')
    .addHelpText('after', more);
  honey
    .command('add')
    .description('make a honey token, or watch for one that is given')
    .addArgument(new Argument('<kind>').choices(honeyKinds))
    .option('--note <text>', 'where it lies', '')
    .option('--json', 'print JSON')
    .action(add);
  honey.command('ls').description('list honey tokens, each with a few of its characters').option('--json', 'print JSON').action(list);
  honey
    .command('rm')
    .description('stop watching for a honey token')
    .argument('<id>', 'as `steno honey ls` lists it')
    .action(async (name: string) => {
      await call(openClient(openHome()).authority, removeHoneyToken, { params: { name } });
      standardOutput.err.write(`${name} is no longer watched for\n`);
    });
  return honey;
}

async function add(kind: HoneyKind, { note, json: asJson }: { readonly note: string; readonly json?: boolean }): Promise<void> {
  const made = await tokenOf(kind);
  if (!honeyText.safeParse(made.text).success)
    throw new StenoError('USAGE', 'a honey token is one line of 8 to 512 printable ASCII characters, without blanks around it');
  const token = await call(openClient(openHome()).authority, addHoneyToken, { body: { kind, note, text: made.text } });
  if (asJson === true) return json(standardOutput, { ...token, content: made.content });
  if (made.content !== null) standardOutput.out.write(made.content);
  standardOutput.err.write(`${token.id} is watched for: ${token.masked}. It is not shown again.\n`);
}

/** The pattern to watch for, and the text to place; null if it is already in place. */
async function tokenOf(kind: HoneyKind): Promise<{ readonly text: string; readonly content: string | null }> {
  switch (kind) {
    case 'aws': {
      const id = `AKIA${random(UPPER, 16)}`;
      return { text: id, content: `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${random(`${LETTERS}+/`, 40)}\n` };
    }
    case 'password': {
      const text = random(LETTERS, 20);
      return { text, content: `${text}\n` };
    }
    case 'ssh': {
      const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
      // The one line between the first and the last.
      return { text: pem.split('\n')[1]!, content: pem };
    }
    case 'url':
    case 'path':
    case 'text':
      return { text: await readLine(), content: null };
  }
}

function random(alphabet: string, length: number): string {
  return Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('');
}

async function readLine(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin) {
    text += String(chunk);
    if (text.length > 4_096) break;
  }
  return text.replace(/\r?\n$/, '');
}

async function list({ json: asJson }: { readonly json?: boolean }): Promise<void> {
  const tokens = await call(openClient(openHome()).authority, listHoneyTokens, {});
  if (asJson === true) return json(standardOutput, tokens);
  table<HoneyToken>(standardOutput, tokens, [
    { title: 'ID', value: ({ id }) => id },
    { title: 'KIND', value: ({ kind }) => kind },
    { title: 'TOKEN', value: ({ masked }) => masked },
    { title: 'BY', value: ({ created_by: by }) => by },
    { title: 'SINCE', value: ({ created_at: at }) => moment(at) },
    { title: 'NOTE', value: ({ note }) => note },
  ]);
}
