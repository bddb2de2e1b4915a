/** `steno kube`: Kubernetes clusters, and kubectl's way into them. */
import { Command, Option } from 'commander';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { call } from '#schemas/endpoint/endpoint.js';
import { createJoinToken } from '#schemas/api/inventory/join-tokens.js';
import type { JoinTokenCreated } from '#schemas/api/inventory/join-tokens.js';
import { isName } from '#schemas/base/identity.js';
import { deleteKubeCluster, listKubeClusters, putKubeCluster } from '#schemas/api/inventory/kube-clusters.js';
import { StenoError } from '#schemas/base/errors.js';
import { KUBE_LABEL, KUBE_NODE_LABEL, KUBE_SERVER_NAME } from '#schemas/kube/kube-cluster.js';
import type { KubeClusterRecord } from '#schemas/kube/kube-cluster.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import type { Home } from '../../client/home.js';
import { agentManifests } from '../../client/kube-agent.js';
import { nodeAgentManifests, nodeAgentName } from '../../client/kube-node-agents.js';
import { execApis, kubeconfigPath, upstreamOf, writeContext } from '../../client/kubeconfig.js';
import type { ExecApi } from '../../client/kubeconfig.js';
import { refreshTrust } from '../../client/trust.js';
import { gatewayOf, healthOf } from '../../client/kube-health.js';
import type { KubeHealth } from '../../client/kube-health.js';
import { json, moment, standardOutput, styled, table, visible } from '../../terminal/output.js';
import { labelText, parseLabels } from './nodes.js';

export function kubeCommand(): Command {
  const command = new Command('kube').enablePositionalOptions().description('Kubernetes clusters: list, add, log kubectl in');
  command
    .command('ls')
    .description('list the clusters that your roles let you use, and whether they answer')
    .option('--no-check', 'do not ask the clusters')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Each cluster is asked for its version and readiness through the gateway, as you, and within five seconds. STATE is "not ready" when the
API server says so, "unreachable" when the gateway does not reach it, "refused" when a lock or a role keeps you out, and "unknown" when
the gateway itself was not reached. LAST SEEN is when that gateway last heard from the cluster.`,
    )
    .action(list);
  command
    .command('add')
    .description('register a cluster, or replace how gateways reach it')
    .argument('<cluster>')
    .option('--kubeconfig <file>', 'with a token or a client certificate that may impersonate users and groups')
    .addOption(
      new Option('--agent', 'through an agent inside it, which only dials out: prints its manifests for `kubectl apply -f -`').conflicts([
        'kubeconfig',
        'context',
      ]),
    )
    .option('--image <image>', 'with --agent: the image of services (deploy/container/Containerfile)', 'steno')
    .option('--context <name>', 'of the kubeconfig; default is its current one')
    .option('--labels <key=value,...>', 'labels that roles match', parseLabels, {})
    .action(async (name: string, options: AddOptions) => {
      if (options.agent === true) return addAgent(name, options);
      if (options.kubeconfig === undefined) throw new StenoError('USAGE', 'give --kubeconfig FILE, or --agent');
      const upstream = upstreamOf(options.kubeconfig, options.context);
      await call(openClient(openHome()).authority, putKubeCluster, { params: { name }, body: { labels: options.labels, upstream } });
      const { out, env } = standardOutput;
      out.write(`${styled(out, env, 'green', '✓')} Gateways lead to ${styled(out, env, 'bold', name)} at ${upstream.url}\n`);
    });
  command
    .command('agents')
    .description('print the manifests of agents on nodes of a cluster, which record what commands in pods there do in the kernel')
    .argument('<cluster>')
    .argument('<node...>', 'nodes as `kubectl get nodes` names them')
    .option('--image <image>', 'the image of agents (deploy/container/Containerfile)', 'steno-agent')
    .addHelpText(
      'after',
      `
Apply them with kubectl apply -f -. They hold a token for each node, which counts once within a day. Agents keep their keys on their nodes: the
command may be given again with more nodes, and once all agents have joined, the Secret with the tokens may be deleted.`,
    )
    .action(printNodeAgents);
  command
    .command('rm')
    .description('forget a cluster and the credential for it; requests under way end')
    .argument('<cluster>')
    .action(async (name: string) => {
      await call(openClient(openHome()).authority, deleteKubeCluster, { params: { name } });
    });
  command
    .command('login')
    .description('write a context of a cluster into your kubeconfig and make it the current one')
    .argument('<cluster>')
    .addOption(execApi('v1beta1 for kubectl before 1.22'))
    .action(login);
  command
    .command('credential')
    .description('print the certificate of your login as kubectl asks for it; kubeconfigs name this command')
    .addOption(execApi('as the kubeconfig says'))
    .action((options: { execApi: ExecApi }) => {
      process.stdout.write(`${JSON.stringify(credential(openHome(), options.execApi, Date.now()))}\n`);
    });
  return command;
}

type Listed = KubeClusterRecord & Partial<KubeHealth>;

const styles = { ready: 'green', 'not ready': 'red', unreachable: 'red', refused: 'red', unknown: 'dim' } as const;

async function list({ check, json: asJson }: { readonly check: boolean; readonly json?: boolean }): Promise<void> {
  const home = openHome();
  const { gateway, clusters } = await call(openClient(home).authority, listKubeClusters, {});
  let listed: readonly Listed[] = clusters;
  const asked = check && gateway !== null && clusters.length > 0 ? gatewayOf(home, await refreshTrust(home), gateway) : null;
  if (asked !== null) {
    const health = await healthOf(
      asked,
      clusters.map(({ name }) => name),
    );
    listed = clusters.map((cluster, index) => ({ ...cluster, ...health[index]! }));
    if (health.every(({ state }) => state === 'unknown'))
      standardOutput.err.write(`No gateway for Kubernetes answers at ${visible(asked.address)}.\n`);
  }
  if (asJson === true) return json(standardOutput, listed);
  if (listed.length === 0) {
    standardOutput.err.write('No Kubernetes clusters that you may reach. `steno kube add --help` says how one is added.\n');
    return;
  }
  table<Listed>(standardOutput, listed, [
    { title: 'CLUSTER', value: ({ name }) => name, style: () => 'bold' },
    ...(listed === clusters
      ? []
      : [
          {
            title: 'STATE',
            value: ({ state = 'unknown', reason = null }: Listed) => (state === 'refused' ? `refused: ${reason}` : state),
            style: ({ state = 'unknown' }: Listed) => styles[state],
          },
          { title: 'VERSION', value: ({ version }: Listed) => version ?? '-' },
          { title: 'LAST SEEN', value: ({ last_seen_at: at = null }: Listed) => (at === null ? '-' : moment(at)) },
        ]),
    { title: 'LABELS', value: ({ labels }) => labelText(labels) },
  ]);
}

function execApi(when: string): Option {
  return new Option('--exec-api <version>', `version in which kubectl asks for the credential: ${when}`).choices(execApis).default('v1');
}

interface AddOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly agent?: boolean;
  readonly image: string;
  readonly labels: Record<string, string>;
}

/** How long the pod may take to come up for the first time. */
const AGENT_TOKEN_MS = 24 * 3_600_000;

/** Manifests alone go to the standard output, so that they can be piped into kubectl. */
async function addAgent(name: string, { image, labels }: AddOptions): Promise<void> {
  const { authority } = openClient(openHome());
  const node = `kube-${name}`;
  if (node.length > 63) throw new StenoError('USAGE', `${name} is too long for a cluster with an agent: at most 58 characters`);
  await call(authority, putKubeCluster, { params: { name }, body: { labels, upstream: { node } } });
  const {
    token,
    ca_pins: caPins,
    gateways,
  } = await call(authority, createJoinToken, {
    body: { ttl_ms: AGENT_TOKEN_MS, uses: 1, labels: { [KUBE_LABEL]: name }, node_labels: [] },
  });
  const { out, err } = standardOutput;
  out.write(agentManifests({ name: node, image, token, caPins, gateways: gatewaysFor(gateways) }));
  err.write(`Apply these in ${name} within a day; its agent is then the node ${node}.\n`);
}

/** The addresses for manifests; if there is none, a placeholder that people are told to replace. */
function gatewaysFor(gateways: readonly string[]): readonly string[] {
  if (gateways.length > 0) return gateways;
  standardOutput.err.write('No gateway takes tunnels now; put its address in place of HOST:PORT.\n');
  return ['HOST:PORT'];
}

async function printNodeAgents(cluster: string, nodes: readonly string[], { image }: { readonly image: string }): Promise<void> {
  const { authority } = openClient(openHome());
  const { clusters } = await call(authority, listKubeClusters, {});
  if (!clusters.some(({ name }) => name === cluster)) throw new StenoError('KUBE_CLUSTER_UNKNOWN', cluster);
  const wrong = nodes.find((node) => !isName(nodeAgentName(cluster, node)));
  if (wrong !== undefined) throw new StenoError('USAGE', `"${wrong}" is no node whose agent could have a name of at most 63 characters`);
  const tokens = new Map<string, string>();
  let created: JoinTokenCreated | undefined;
  for (const node of new Set(nodes)) {
    created = await call(authority, createJoinToken, {
      body: { ttl_ms: AGENT_TOKEN_MS, uses: 1, labels: { [KUBE_NODE_LABEL]: `${cluster}/${node}` }, node_labels: [] },
    });
    tokens.set(node, created.token);
  }
  const { ca_pins: caPins, gateways } = created!;
  const { out, err } = standardOutput;
  out.write(nodeAgentManifests({ cluster, image, tokens, caPins, gateways: gatewaysFor(gateways) }));
  err.write(`Apply these in ${cluster} within a day; agents are then the nodes ${nodeAgentName(cluster, 'NODE')}.\n`);
}

async function login(name: string, { execApi: api }: { readonly execApi: ExecApi }): Promise<void> {
  const home = openHome();
  const { gateway, clusters } = await call(openClient(home).authority, listKubeClusters, {});
  if (!clusters.some((cluster) => cluster.name === name)) throw new StenoError('KUBE_CLUSTER_UNKNOWN', name);
  if (gateway === null) throw new StenoError('NOT_RUNNING', 'no gateway listens for Kubernetes; start one with --kube-listen');
  // A renewed CA would otherwise be missing from what kubectl trusts.
  const { service_ca: ca } = await refreshTrust(home);
  const context = `steno-${name}`;
  const file = kubeconfigPath(process.env);
  const before = writeContext(file, {
    name: context,
    server: `https://${gateway}/${name}`,
    serverName: KUBE_SERVER_NAME,
    ca,
    exec: {
      api,
      command: process.execPath,
      args: [process.argv[1]!, 'kube', 'credential', ...(api === 'v1' ? [] : ['--exec-api', api])],
      env: { STENO_HOME: home.dir },
    },
  });
  const { out, env } = standardOutput;
  out.write(`${styled(out, env, 'green', '✓')} kubectl's current context is ${styled(out, env, 'bold', context)} (${file})\n`);
  if (before !== undefined && before !== context) out.write(`  Before, it was ${before}: \`kubectl config use-context ${before}\`\n`);
}

/** An ExecCredential of client.authentication.k8s.io. Throws NOT_SIGNED_IN, CERT_EXPIRED. */
function credential(home: Home, api: ExecApi, now: number): object {
  const [certificateFile, keyFile] = [join(home.dir, 'tls.pem'), join(home.dir, 'tls.key')];
  if (!existsSync(certificateFile) || !existsSync(keyFile)) throw new StenoError('NOT_SIGNED_IN', `no login in ${home.dir}`);
  const certificate = readFileSync(certificateFile, 'utf8');
  const end = Date.parse(new X509Certificate(certificate).validTo);
  if (end <= now) throw new StenoError('CERT_EXPIRED', `at ${new Date(end).toLocaleString()}`);
  return {
    apiVersion: `client.authentication.k8s.io/${api}`,
    kind: 'ExecCredential',
    status: {
      expirationTimestamp: new Date(end).toISOString().replace(/\.\d+Z$/, 'Z'),
      clientCertificateData: certificate,
      clientKeyData: readFileSync(keyFile, 'utf8'),
    },
  };
}
