/** Kubernetes clusters: `steno kube`. */
import { z } from 'zod';
import { kubeClusterName, kubeClusterRecord, kubeUpstream } from '../../kube/kube-cluster.js';
import { endpoint, noAnswer, noBody, noParams } from '../../endpoint/endpoint.js';

const params = z.strictObject({ name: kubeClusterName });

const kubeClusterList = z
  .strictObject({
    /** `host:port` at which users reach a gateway's Kubernetes listener; null: no gateway has one. */
    gateway: z.string().nullable(),
    clusters: z.array(kubeClusterRecord).readonly(),
  })
  .readonly();

export const listKubeClusters = endpoint({
  method: 'GET',
  path: '/v1/kube-clusters',
  summary: "List the Kubernetes clusters that the caller's roles let them use; all of them for users who administer everything.",
  admits: ['user'],
  event: 'kube_cluster.list',
  params: noParams,
  body: noBody,
  answer: kubeClusterList,
  errors: [],
});

export const putKubeCluster = endpoint({
  method: 'PUT',
  path: '/v1/kube-clusters/:name',
  summary: 'Register a Kubernetes cluster, or replace its address and credential.',
  admits: ['administer'],
  event: 'kube_cluster.put',
  params,
  body: z.strictObject({ labels: kubeClusterRecord.unwrap().shape.labels, upstream: kubeUpstream }),
  answer: kubeClusterRecord,
  errors: ['TOO_MANY'],
});

export const deleteKubeCluster = endpoint({
  method: 'DELETE',
  path: '/v1/kube-clusters/:name',
  summary: 'Remove a Kubernetes cluster and its credential; its sessions and requests through gateways end.',
  admits: ['administer'],
  event: 'kube_cluster.delete',
  params,
  body: noBody,
  answer: noAnswer,
  errors: ['NOT_FOUND'],
});

export const readKubeUpstream = endpoint({
  method: 'GET',
  path: '/v1/kube-clusters/:name/upstream',
  summary: 'Get the address of a Kubernetes cluster, with the credential, for a gateway.',
  admits: ['gateway'],
  event: 'kube_cluster.upstream',
  params,
  body: noBody,
  answer: z.strictObject({ revision: z.int(), upstream: kubeUpstream }).readonly(),
  errors: ['NOT_FOUND'],
});

export const kubeClusterEndpoints = [listKubeClusters, putKubeCluster, deleteKubeCluster, readKubeUpstream] as const;
