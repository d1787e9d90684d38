{{- define "podsonar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name stands alone where it says podsonar already. Room is left for "-node-agent". */}}
{{- define "podsonar.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "podsonar.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "podsonar.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Immutable in selectors: never add to these. Called with (list root component). */}}
{{- define "podsonar.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "podsonar.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "podsonar.labels" -}}
{{- $root := index . 0 -}}
{{ include "podsonar.selectorLabels" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: podsonar
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "podsonar.podLabels" -}}
{{ include "podsonar.labels" . }}
{{- with (index . 0).Values.kubernetes.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Called with (list root component port): annotations of a pod; the port is where /metrics is. */}}
{{- define "podsonar.podAnnotations" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.metrics.annotations }}
prometheus.io/scrape: "true"
prometheus.io/port: {{ index . 2 | quote }}
prometheus.io/path: /metrics
{{- end }}
{{- with $root.Values.kubernetes.annotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Called with (list root image). */}}
{{- define "podsonar.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $name := printf "%s/%s" ($root.Values.global.imageRegistry | default $root.Values.image.registry) $image.repository | trimPrefix "/" -}}
{{- if $image.digest }}
{{- printf "%s@%s" $name $image.digest }}
{{- else }}
{{- printf "%s:%s" $name ($root.Values.image.tag | default $root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* Of the settings in a rendered ConfigMap, and not of their layout: pods restart when a value changes. */}}
{{- define "podsonar.configChecksum" -}}
{{- get (fromYaml .).data "config.yaml" | fromYaml | toJson | sha256sum }}
{{- end }}

{{- define "podsonar.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Pod Security `restricted`, for collector and manager. */}}
{{- define "podsonar.restrictedPod" -}}
runAsNonRoot: true
{{- if not .Values.openshift.enabled }}
runAsUser: {{ .Values.kubernetes.runAsUser }}
runAsGroup: {{ .Values.kubernetes.runAsGroup }}
fsGroup: {{ .Values.kubernetes.runAsGroup }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "podsonar.restrictedContainer" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Two minutes without an answer in ten seconds: a busy node or a paused process restarts nothing. */}}
{{- define "podsonar.livenessProbe" -}}
livenessProbe:
  httpGet: {path: /livez, port: metrics}
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: 6
{{- end }}

{{/* SETUID and SETGID are for the moment in which uid 0 is given up, and gone with it. */}}
{{- define "podsonar.nodeAgentCapabilities" -}}
{{- concat .Values.nodeAgent.capabilities (ternary (list "SETGID" "SETUID") list (gt (int64 .Values.nodeAgent.runAsUser) 0)) | uniq | toJson }}
{{- end }}

{{/* Where pushes go. */}}
{{- define "podsonar.managerUrl" -}}
{{- if .Values.manager.install }}
{{- printf "%s://%s-manager.%s.svc:%v" (ternary "https" "http" (ne .Values.manager.tls.secretName "")) (include "podsonar.fullname" .) .Release.Namespace .Values.manager.service.port }}
{{- else }}
{{- .Values.manager.url }}
{{- end }}
{{- end }}

{{- define "podsonar.readKeySecret" -}}
{{- .Values.manager.existingSecrets.readKey | default .Values.manager.existingTokenSecret | default (printf "%s-read-key" (include "podsonar.fullname" .)) }}
{{- end }}

{{- define "podsonar.tokenHashesSecret" -}}
{{- .Values.manager.existingSecrets.tokenHashes | default .Values.manager.existingTokenSecret | default (printf "%s-token-hashes" (include "podsonar.fullname" .)) }}
{{- end }}

{{/* The Secret and the key that hold the agents' token. */}}
{{- define "podsonar.tokenSecret" -}}
{{- if .Values.manager.install }}
{{- .Values.manager.existingSecrets.ingestToken | default .Values.manager.existingTokenSecret | default (printf "%s-ingest-token" (include "podsonar.fullname" .)) }}
{{- else }}
{{- .Values.manager.tokenSecret.name | default (printf "%s-token" (include "podsonar.fullname" .)) }}
{{- end }}
{{- end }}

{{- define "podsonar.tokenKey" -}}
{{- if or .Values.manager.install .Values.manager.token }}token{{ else }}{{ .Values.manager.tokenSecret.key }}{{ end }}
{{- end }}

{{/* Namespaces to list, as a JSON list; empty: the whole cluster. */}}
{{- define "podsonar.namespaces" -}}
{{- if not .Values.kubernetes.namespaced }}
{{- list | toJson }}
{{- else if .Values.data.observedNamespaces }}
{{- .Values.data.observedNamespaces | uniq | toJson }}
{{- else }}
{{- list (.Values.kubernetes.namespace | default .Release.Namespace) | toJson }}
{{- end }}
{{- end }}

{{- define "podsonar.collectorAccount" -}}
{{- .Values.kubernetes.serviceAccount | default (printf "%s-collector" (include "podsonar.fullname" .)) }}
{{- end }}

{{/* Volumes that carry credentials: folders, never subPath, so that a changed Secret is seen without a restart. */}}
{{- define "podsonar.credentialVolumes" -}}
- name: token
  secret:
    secretName: {{ include "podsonar.tokenSecret" . }}
    defaultMode: 0400
    items:
      - key: {{ include "podsonar.tokenKey" . }}
        path: token
{{- if .Values.manager.caSecret.name }}
- name: authority
  secret:
    secretName: {{ .Values.manager.caSecret.name }}
    defaultMode: 0400
    items:
      - key: {{ .Values.manager.caSecret.key }}
        path: ca.crt
{{- end }}
{{- if .Values.mtls.secretName }}
- name: client-certificate
  secret:
    secretName: {{ .Values.mtls.secretName }}
    defaultMode: 0400
{{- end }}
{{- end }}

{{- define "podsonar.credentialMounts" -}}
- name: token
  mountPath: /etc/podsonar/token
  readOnly: true
{{- if .Values.manager.caSecret.name }}
- name: authority
  mountPath: /etc/podsonar/authority
  readOnly: true
{{- end }}
{{- if .Values.mtls.secretName }}
- name: client-certificate
  mountPath: /etc/podsonar/client-certificate
  readOnly: true
{{- end }}
{{- end }}

{{/* Settings that collector and node agent share. */}}
{{- define "podsonar.sharedSettings" -}}
data:
  {{- omit .Values.data "nodeAgentSelector" | toYaml | nindent 2 }}
manager:
  url: {{ include "podsonar.managerUrl" . | quote }}
  tokenFile: /etc/podsonar/token/token
  allowInsecureHttp: {{ .Values.manager.allowInsecureHttp }}
  {{- if .Values.manager.caSecret.name }}
  caFile: /etc/podsonar/authority/ca.crt
  {{- end }}
{{- if .Values.mtls.secretName }}
mtls:
  certPath: /etc/podsonar/client-certificate/tls.crt
  keyPath: /etc/podsonar/client-certificate/tls.key
{{- end }}
proxy:
  {{- toYaml (omit .Values.proxy "noProxy") | nindent 2 }}
  {{- /* The manager of this release is in the cluster, behind no proxy. */}}
  noProxy: {{ join "," (compact (list .Values.proxy.noProxy (ternary ".svc" "" (and .Values.manager.install (gt (len (compact (values (omit .Values.proxy "noProxy")))) 0))))) | quote }}
spool:
  folder: /var/lib/podsonar
  maxBytes: {{ int64 .Values.spool.maxBytes }}
  maxFiles: {{ int64 .Values.spool.maxFiles }}
  maxAgeSeconds: {{ int64 .Values.spool.maxAgeSeconds }}
directory:
  url: http://{{ include "podsonar.fullname" . }}-collector.{{ .Release.Namespace }}.svc:8766
  listen: "0.0.0.0:8766"
  tokenFile: /etc/podsonar/token/token
metrics:
  listen: "0.0.0.0:9464"
log:
  {{- toYaml .Values.log | nindent 2 }}
{{- end }}
