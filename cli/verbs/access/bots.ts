/** `steno bots`: machines as users; `steno bot`: being one. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { logInBot } from '#schemas/api/front/sign-in.js';
import { createBot, createBotToken, listBots, renewBot, resetBot } from '#schemas/api/people/bots.js';
import { deleteUser } from '#schemas/api/people/users.js';
import { call } from '#schemas/endpoint/endpoint.js';
import { StenoError } from '#schemas/base/errors.js';
import type { BotInfo, BotLogin, BotToken } from '#schemas/api/people/bots.js';
import { isName } from '#schemas/base/identity.js';
import type { Traits } from '#schemas/base/identity.js';
import { formatPublicLine } from '#schemas/ssh/public-key.js';
import { openClient, openPublicWeb } from '../../client/client.js';
import type { Client } from '../../client/client.js';
import { openHome, readProfile, writeWhole } from '../../client/home.js';
import type { Home } from '../../client/home.js';
import { json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';
import { keepLogin, keyOf } from '../../client/sign-in.js';
import { tlsPublicKey } from '../../client/trust.js';
import { parseNames, parseTrait } from './users.js';

interface TokenOptions {
  readonly ttl: number;
  readonly json?: boolean;
}

function parseTtl(text: string): number {
  const match = /^(\d{1,5})([mhd])$/.exec(text);
  const ms = Number(match?.[1]) * { m: 60_000, h: 3_600_000, d: 86_400_000 }[(match?.[2] ?? 'm') as 'm' | 'h' | 'd'];
  if (match === null || ms < 60_000 || ms > 7 * 86_400_000)
    throw new InvalidArgumentError('Give it as 30m, 12h or 7d: one minute to seven days.');
  return ms;
}

const open = (): Client => openClient(openHome());

export function botsCommand(): Command {
  const command = new Command('bots')
    .description('list bots: users that are machines, such as CI runners; or add one')
    .option('--json', 'print JSON');
  command.action(async (options: { json?: boolean }) => {
    const bots = await call(open().authority, listBots, {});
    if (options.json === true) return json(standardOutput, bots);
    const live = (bot: BotInfo) => bot.instances.filter(({ stopped_at, expires_at }) => stopped_at === null && expires_at > Date.now());
    table<BotInfo>(standardOutput, bots, [
      { title: 'NAME', value: ({ name }) => name, style: () => 'bold' },
      { title: 'ROLES', value: ({ roles }) => roles.join(',') },
      { title: 'RUNNING', value: (bot) => String(live(bot).length), align: 'right' },
      {
        title: 'LAST RENEWED',
        value: ({ instances }) => (instances.length === 0 ? 'never' : moment(Math.max(...instances.map(({ renewed_at }) => renewed_at)))),
      },
      { title: 'FROM', value: (bot) => [...new Set(live(bot).map(({ source }) => source))].join(', ') || '-' },
    ]);
  });
  const withTtl = (verb: Command): Command =>
    verb.option('--ttl <time>', 'how long the join token may be used', parseTtl, 3_600_000).option('--json', 'print JSON');
  withTtl(command.command('add').description('make a bot: prints a token that joins one machine, once').argument('<name>'))
    .requiredOption('--roles <a,b>', 'roles to hold', parseNames)
    .option('--traits <key=value>', 'facts that roles may refer to; may be repeated', parseTrait)
    .action(async (name: string, options: TokenOptions & { roles: readonly string[]; traits?: Traits }) => {
      if (!isName(name)) throw new StenoError('USAGE', `"${name}" is no name: lower-case letters, digits, dot, dash and underscore`);
      tellToken(
        await call(open().authority, createBot, {
          body: {
            name,
            roles: options.roles,
            traits: options.traits ?? {},
            ttl: options.ttl,
          },
        }),
        options,
      );
    });
  withTtl(command.command('token').description('another token, for one more machine of this bot').argument('<name>')).action(
    async (name: string, options: TokenOptions) =>
      tellToken(await call(open().authority, createBotToken, { params: { name }, body: { ttl: options.ttl } }), options),
  );
  withTtl(
    command.command('reset').description('stop all its machines, lift the lock of a theft, and print a fresh token').argument('<name>'),
  ).action(async (name: string, options: TokenOptions) =>
    tellToken(await call(open().authority, resetBot, { params: { name }, body: { ttl: options.ttl } }), options),
  );
  command
    .command('rm')
    .description('forget a bot; its name stays locked while certificates of it may live')
    .argument('<name>')
    .action(async (name: string) => {
      await call(open().authority, deleteUser, { params: { name } });
      standardOutput.out.write(`${name} is removed.\n`);
    });
  return command;
}

function tellToken(token: BotToken, options: TokenOptions): void {
  if (options.json === true) return json(standardOutput, token);
  const { err, out, env } = standardOutput;
  err.write(`The token of ${token.bot} joins one machine, once, until ${moment(token.expires_at)}. Put it into a file there and run:\n`);
  err.write(`  steno bot --proxy ${openHomeWeb()} --token-file FILE --out DIR\n`);
  out.write(`${styled(out, env, 'cyan', token.token)}\n`);
}

function openHomeWeb(): string {
  return readProfile(openHome()).web;
}

const stateSchema = z.object({ version: z.literal(1), instance: z.string(), generation: z.number(), attempt: z.string().nullable() });
type State = z.infer<typeof stateSchema>;

interface BotOptions {
  readonly proxy?: string;
  readonly tokenFile?: string;
  readonly out: string;
  readonly ca?: string;
  readonly once?: boolean;
}

export function botCommand(): Command {
  return new Command('bot')
    .description('be a bot: join with a token, then keep a certificate fresh in a folder')
    .requiredOption('--out <dir>', 'where key, certificate, known_hosts and ssh_config go')
    .option('--proxy <url>', 'address of the viewer, to join')
    .option('--token-file <file>', 'holds the join token; needed the first time only')
    .option('--ca <file>', 'PEM of the CA that the viewer is trusted by; without it, those of the system')
    .option('--once', 'join or renew once, then end')
    .addHelpText(
      'after',
      `
The certificate lives for an hour and is renewed every twenty minutes; DIR belongs to one machine. A copy of DIR that
renews elsewhere is found out by the count of renewals, and the bot is locked. Use it with: ssh -F DIR/ssh_config …`,
    )
    .action(async (options: BotOptions) => {
      const home = openHome({ STENO_HOME: options.out });
      const file = join(home.dir, 'bot.json');
      if (existsSync(file)) await renew(home, file);
      else await enter(home, file, options);
      while (options.once !== true) {
        // A third of the life that is left, so that two renewals may fail before the certificate ends.
        const left = readProfile(home).valid_before - Date.now();
        await sleep(Math.min(Math.max(left / 3, 1_000), 1_200_000));
        await renewPatiently(home, file);
      }
    });
}

async function enter(home: Home, file: string, options: BotOptions): Promise<void> {
  if (options.proxy === undefined || options.tokenFile === undefined)
    throw new StenoError('USAGE', 'the first time, give --proxy and --token-file');
  const token = readFileSync(options.tokenFile, 'utf8').trim();
  if (!/^[A-Za-z0-9_-]{43}$/.test(token)) throw new StenoError('USAGE', `${options.tokenFile} holds no join token`);
  const web = openPublicWeb(options.proxy, options.ca === undefined ? undefined : readFileSync(options.ca, 'utf8'));
  const key = keyOf(home);
  const joined = await call(web.send, logInBot, {
    body: {
      token,
      public_key: formatPublicLine(key.publicBlob),
      tls_key: tlsPublicKey(home),
    },
  });
  keepLogin(home, joined.login, joined.addresses, web.ca);
  keepState(file, { version: 1, instance: joined.instance, generation: joined.generation, attempt: null });
  tell(home, joined);
}

async function renew(home: Home, file: string): Promise<void> {
  const kept = stateSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (!kept.success) throw new StenoError('USAGE', `${file} is not the state of a bot`);
  // Kept before the call: if its answer is lost, the same attempt may be made again, by this copy only.
  const state = { ...kept.data, attempt: kept.data.attempt ?? randomBytes(32).toString('base64url') };
  keepState(file, state);
  const profile = readProfile(home);
  const renewed = await call(openClient(home).authority, renewBot, {
    body: {
      instance: state.instance,
      generation: state.generation,
      attempt: state.attempt,
      tls_key: tlsPublicKey(home),
    },
  });
  keepLogin(home, renewed.login, profile, profile.web_ca);
  keepState(file, { ...state, generation: renewed.generation, attempt: null });
  tell(home, renewed);
}

/** Goes on trying while the certificate lives and Steno may only be away. */
async function renewPatiently(home: Home, file: string): Promise<void> {
  for (let delay = 2_000; ; delay = Math.min(delay * 2, 60_000)) {
    try {
      return await renew(home, file);
    } catch (error) {
      if (!(error instanceof StenoError) || !error.entry.retryable || readProfile(home).valid_before <= Date.now() + delay) throw error;
      standardOutput.err.write(`${new Date().toISOString()} not renewed: ${visible(error.message)}; trying again in ${delay / 1000} s\n`);
      await sleep(delay);
    }
  }
}

function keepState(file: string, state: State): void {
  writeWhole(file, `${JSON.stringify(state)}\n`, 0o600);
}

function tell(home: Home, { login, generation }: BotLogin): void {
  standardOutput.out.write(
    `${new Date().toISOString()} ${login.user} (${login.roles.join(', ')}) until ${new Date(login.valid_before).toISOString()}, generation ${generation}, in ${home.dir}\n`,
  );
}
