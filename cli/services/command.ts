/**
 * `steno authority`, `gateway`, `ingest`, `viewer`, `analyzer` and `store`: one service each, from a configuration file, in the foreground.
 *
 * What a service needs is loaded only when it is asked for. SIGTERM drains: stop accepting, end what is going on, flush, exit 0.
 */
import { Command } from 'commander';
import type { z } from 'zod';
import type { Log } from '#runtime/log.js';
import { tellReady } from '../machine/service-manager.js';
import { version } from '../machine/version.js';
import { standardOutput } from '../terminal/output.js';

interface Loaded<Config> {
  readonly schema: z.ZodType<Config>;
  readonly start: (config: Config, context: { readonly log: Log }) => Promise<import('#runtime/service/process.js').Running>;
  /** By name, where each secret may be set. */
  readonly secrets: (config: Config) => Readonly<Record<string, boolean>>;
  readonly base: (config: Config) => { readonly health?: string | undefined; readonly fips: boolean };
}

interface Member {
  readonly join: { readonly token_file?: string | undefined };
  readonly events?: { readonly password_file?: string | undefined } | undefined;
}
const env = (name: string): boolean => (process.env[name] ?? '') !== '';
const memberSecrets = ({ join, events }: Member): Record<string, boolean> => ({
  'join token (join.token_file)': join.token_file !== undefined,
  'events password (events.password_file or STENO_EVENTS_PASSWORD)': events?.password_file !== undefined || env('STENO_EVENTS_PASSWORD'),
  'bucket credentials (AWS_*)': env('AWS_ACCESS_KEY_ID'),
});

const services = {
  authority: () =>
    service('authority', 'run an authority: CAs, users, roles, nodes, locks', async () => {
      const [{ authorityConfig }, { startAuthorityAsOwner }] = await Promise.all([
        import('../../authority/config.js'),
        import('./authority.js'),
      ]);
      return {
        schema: authorityConfig,
        start: startAuthorityAsOwner,
        secrets: ({ seal_passphrase_file: file }) => ({
          'state URL with password (STENO_STATE)': env('STENO_STATE'),
          'seal passphrase (seal_passphrase_file)': file !== undefined,
        }),
        base: (config) => config,
      };
    }),
  gateway: () =>
    service('gateway', 'run a gateway: users and agents connect to it', async () => {
      const [{ gatewayConfig }, { startGatewayService }] = await Promise.all([
        import('../../gateway/config.js'),
        import('../../gateway/service.js'),
      ]);
      return {
        schema: gatewayConfig,
        start: startGatewayService,
        secrets: ({ join }) => ({ 'join token (join.token_file)': join.token_file !== undefined }),
        base: (config) => config,
      };
    }),
  ingest: () =>
    service('ingest', 'run an ingest: takes recordings and events, and writes the stores', async () => {
      const [{ ingestConfig }, { startIngestProcess }, { STORE_PRIORITY, lowerPriority }] = await Promise.all([
        import('../../ingest/config.js'),
        import('../../ingest/process.js'),
        import('#runtime/priority.js'),
      ]);
      lowerPriority(STORE_PRIORITY);
      return { schema: ingestConfig, start: startIngestProcess, secrets: memberSecrets, base: (config) => config };
    }),
  viewer: () =>
    service('viewer', 'run a viewer: the page, search and replay, over a ClickHouse server', async () => {
      const [{ viewerConfig }, { startViewerProcess }, { webRoot }, { huntLines }] = await Promise.all([
        import('../../viewer/api/config.js'),
        import('../../viewer/api/process.js'),
        import('../machine/web-root.js'),
        import('../../analyzer/retro/requests.js'),
      ]);
      return {
        // The embedded event store belongs to the process of an ingest, so a separate viewer needs a server.
        schema: viewerConfig.required({ events: true }),
        start: (config, { log }) => startViewerProcess(config, { log, version, webRoot, hunter: huntLines }),
        secrets: memberSecrets,
        base: (config) => config,
      };
    }),
  analyzer: () =>
    service('analyzer', 'run an analyzer: rules over sessions as they happen, over a ClickHouse server', async () => {
      const [{ analyzerConfig }, { startAnalyzerProcess }, { STORE_PRIORITY, lowerPriority }] = await Promise.all([
        import('../../analyzer/config.js'),
        import('../../analyzer/process.js'),
        import('#runtime/priority.js'),
      ]);
      lowerPriority(STORE_PRIORITY);
      return {
        // The embedded event store belongs to the process of an ingest, so a separate analyzer needs a server.
        schema: analyzerConfig.required({ events: true }),
        start: (config, { log }) => startAnalyzerProcess(config, { log }),
        secrets: memberSecrets,
        base: (config) => config,
      };
    }),
  store: () =>
    service('store', 'run an ingest, a viewer and an analyzer in one process, over the embedded event store', async () => {
      const [{ storeConfig, startStoreProcess }, { STORE_PRIORITY, lowerPriority }] = await Promise.all([
        import('./store.js'),
        import('#runtime/priority.js'),
      ]);
      lowerPriority(STORE_PRIORITY);
      return {
        schema: storeConfig,
        start: (config, { log }) => startStoreProcess(config, { log, version }),
        secrets: ({ ingest, viewer, analyzer }) => ({
          ...memberSecrets(ingest),
          'join token of the viewer (viewer.join.token_file)': viewer.join.token_file !== undefined,
          ...(analyzer === undefined
            ? {}
            : { 'join token of the analyzer (analyzer.join.token_file)': analyzer.join.token_file !== undefined }),
        }),
        base: ({ ingest }) => ingest,
      };
    }),
};

export const serviceCommand = (name: keyof typeof services): Command => services[name]();

function service<Config extends object>(name: string, description: string, load: () => Promise<Loaded<Config>>): Command {
  return new Command(name)
    .description(description)
    .requiredOption('--config <file>', 'YAML; docs/operate.md explains the fields')
    .option('--print-config', 'print what is in force, and of each secret whether it is set, and stop')
    .action(async (options: { config: string; printConfig?: boolean }) => {
      const [{ configText, readConfig }, loaded] = await Promise.all([import('#runtime/service/config.js'), load()]);
      const config = readConfig(options.config, loaded.schema);
      if (options.printConfig === true) {
        standardOutput.out.write(configText(config, loaded.secrets(config)));
        return;
      }
      const { serve } = await import('#runtime/service/process.js');
      await serve(name, (context) => loaded.start(config, context), loaded.base(config));
      await tellReady(`${name}, serving`);
    });
}
