{{/* Labels of every object. Call with (dict "root" $ "component" "node"). */}}
{{- define "workspacefs.labels" -}}
{{ include "workspacefs.selector" . }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{/* The labels that select a component's pods. They never change: a selector is immutable. */}}
{{- define "workspacefs.selector" -}}
app.kubernetes.io/name: workspacefs
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The operator's configuration file. */}}
{{- define "workspacefs.config" -}}
workspaceSelector: {{ .Values.workspaceSelector | quote }}
nodeGroupLabel: {{ .Values.nodeGroupLabel | quote }}
probeIntervalSeconds: {{ .Values.probe.intervalSeconds }}
probeTimeoutSeconds: {{ .Values.probe.timeoutSeconds }}
localStorage: {{ .Values.localStorage.enabled }}
fsCaches: {{ .Values.caches.enabled }}
mover:
  image: {{ .Values.image.operator | quote }}
  pullPolicy: {{ .Values.image.pullPolicy }}
  {{- with .Values.image.pullSecrets }}
  pullSecrets:
    {{- range . }}
    - {{ .name | quote }}
    {{- end }}
  {{- end }}
{{- if .Values.files.enabled }}
files:
  image: {{ .Values.image.files | quote }}
  pullPolicy: {{ .Values.image.pullPolicy }}
  {{- with .Values.image.pullSecrets }}
  pullSecrets:
    {{- range . }}
    - {{ .name | quote }}
    {{- end }}
  {{- end }}
  trashDays: {{ .Values.files.trashDays }}
  uploadDays: {{ .Values.files.uploadDays }}
  {{- with .Values.files.allowEndpoints }}
  allowEndpoints:
    {{- range . }}
    - {{ . | quote }}
    {{- end }}
  {{- end }}
  networkPolicy: {{ .Values.files.networkPolicy }}
  resources:
    {{- toYaml .Values.files.resources | nindent 4 }}
  {{- if .Values.files.rsync.enabled }}
  rsync:
    image: {{ .Values.image.rsync | quote }}
    connections: {{ .Values.files.rsync.connections }}
    expose: {{ .Values.files.rsync.expose.enabled }}
    resources:
      {{- toYaml .Values.files.rsync.resources | nindent 6 }}
  {{- end }}
{{- else if .Values.files.cleanUp }}
filesCleanUp: true
{{- end }}
{{- if .Values.nfsServer.storage }}
nfsServer: {service: workspacefs-nfs}
isolationProbe: {service: workspacefs-isolation-probe}
usageIntervalSeconds: {{ .Values.nfsServer.usageIntervalSeconds }}
{{- end }}
{{- with include "workspacefs.defaultFileSystem" . }}
defaultFileSystem:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The spec of the default FileSystem; nothing where workspaces get none. */}}
{{- define "workspacefs.defaultFileSystem" -}}
{{- if kindIs "map" .Values.defaultFileSystem }}
{{- toYaml .Values.defaultFileSystem }}
{{- else if kindIs "invalid" .Values.defaultFileSystem }}
{{- dict "backend" (dict "managed" (dict "capacity" "10Gi")) | toYaml }}
{{- end }}
{{- end }}

{{/* The end of every pod's spec but for its containers: where it runs and how its images are pulled. Call with
     (dict "root" $ "part" .Values.operator). */}}
{{- define "workspacefs.placement" -}}
nodeSelector:
  kubernetes.io/os: linux
  {{- with .part.nodeSelector }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The workspace selector, which the operator takes as text, in the form of objects: a list of matchExpressions. */}}
{{- define "workspacefs.workspaceExpressions" -}}
{{- range regexFindAll "[^,(]+(\\([^)]*\\))?" .Values.workspaceSelector -1 }}
{{- $term := trim . }}
{{- if regexMatch "^[^!=\\s]+\\s+(in|notin)\\s*\\(" $term }}
- key: {{ regexFind "^[^\\s]+" $term }}
  operator: {{ ternary "NotIn" "In" (regexMatch "^[^\\s]+\\s+notin" $term) }}
  values:
    {{- range splitList "," (regexFind "\\([^)]*\\)" $term | trimPrefix "(" | trimSuffix ")") }}
    - {{ trim . | quote }}
    {{- end }}
{{- else if contains "=" $term }}
{{- $pair := regexSplit "!=|==|=" $term 2 }}
- key: {{ trim (first $pair) }}
  operator: {{ ternary "NotIn" "In" (contains "!=" $term) }}
  values: [{{ trim (last $pair) | quote }}]
{{- else }}
- key: {{ trimPrefix "!" $term | trim }}
  operator: {{ ternary "DoesNotExist" "Exists" (hasPrefix "!" $term) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What a container without any privilege has. */}}
{{- define "workspacefs.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
