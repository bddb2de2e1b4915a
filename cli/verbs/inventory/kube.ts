/** `steno kube`: Kubernetes clusters, and kubectl's way into them. */
import { Command } from 'commander';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { X509Certificate } from 'node:crypto';
import { call } from '#schemas/api/endpoint.js';
import { deleteKubeCluster, listKubeClusters, putKubeCluster } from '#schemas/api/kube-clusters.js';
import { StenoError } from '#schemas/base/errors.js';
import { KUBE_SERVER_NAME } from '#schemas/kube/kube-cluster.js';
import type { KubeClusterRecord } from '#schemas/kube/kube-cluster.js';
import { openClient } from '../../client/client.js';
import { openHome } from '../../client/home.js';
import type { Home } from '../../client/home.js';
import { kubeconfigPath, upstreamOf, writeContext } from '../../client/kubeconfig.js';
import { refreshTrust } from '../../client/trust.js';
import { json, standardOutput, styled, table } from '../../terminal/output.js';
import { labelText, parseLabels } from './nodes.js';

export function kubeCommand(): Command {
  const command = new Command('kube').enablePositionalOptions().description('Kubernetes clusters: list, add, log kubectl in');
  command
    .command('ls')
    .description('list the clusters that your roles let you use')
    .option('--json', 'print JSON')
    .action(async (options: { json?: boolean }) => {
      const { clusters } = await call(openClient(openHome()).authority, listKubeClusters, {});
      if (options.json === true) return json(standardOutput, clusters);
      table<KubeClusterRecord>(standardOutput, clusters, [
        { title: 'CLUSTER', value: ({ name }) => name, style: () => 'bold' },
        { title: 'LABELS', value: ({ labels }) => labelText(labels) },
      ]);
    });
  command
    .command('add')
    .description('register a cluster, or replace how gateways reach it')
    .argument('<cluster>')
    .requiredOption('--kubeconfig <file>', 'with a token or a client certificate that may impersonate users and groups')
    .option('--context <name>', 'of the kubeconfig; default is its current one')
    .option('--labels <key=value,...>', 'labels that roles match', parseLabels, {})
    .action(async (name: string, options: { kubeconfig: string; context?: string; labels: Record<string, string> }) => {
      const upstream = upstreamOf(options.kubeconfig, options.context);
      await call(openClient(openHome()).authority, putKubeCluster, { params: { name }, body: { labels: options.labels, upstream } });
      const { out, env } = standardOutput;
      out.write(`${styled(out, env, 'green', '✓')} Gateways lead to ${styled(out, env, 'bold', name)} at ${upstream.url}\n`);
    });
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
    .action(login);
  command
    .command('credential')
    .description('print the certificate of your login as kubectl asks for it; kubeconfigs name this command')
    .action(() => {
      process.stdout.write(`${JSON.stringify(credential(openHome(), Date.now()))}\n`);
    });
  return command;
}

async function login(name: string): Promise<void> {
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
    exec: { command: process.execPath, args: [process.argv[1]!, 'kube', 'credential'], env: { STENO_HOME: home.dir } },
  });
  const { out, env } = standardOutput;
  out.write(`${styled(out, env, 'green', '✓')} kubectl's current context is ${styled(out, env, 'bold', context)} (${file})\n`);
  if (before !== undefined && before !== context) out.write(`  Before, it was ${before}: \`kubectl config use-context ${before}\`\n`);
}

/** An ExecCredential of client.authentication.k8s.io/v1. Throws NOT_SIGNED_IN, CERT_EXPIRED. */
function credential(home: Home, now: number): object {
  const [certificateFile, keyFile] = [join(home.dir, 'tls.pem'), join(home.dir, 'tls.key')];
  if (!existsSync(certificateFile) || !existsSync(keyFile)) throw new StenoError('NOT_SIGNED_IN', `no login in ${home.dir}`);
  const certificate = readFileSync(certificateFile, 'utf8');
  const end = Date.parse(new X509Certificate(certificate).validTo);
  if (end <= now) throw new StenoError('CERT_EXPIRED', `at ${new Date(end).toLocaleString()}`);
  return {
    apiVersion: 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    status: {
      expirationTimestamp: new Date(end).toISOString().replace(/\.\d+Z$/, 'Z'),
      clientCertificateData: certificate,
      clientKeyData: readFileSync(keyFile, 'utf8'),
    },
  };
}
