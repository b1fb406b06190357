// tonegate on Azure Container Apps, in a network of its own: the edge is public, everything that it asks is
// reached by private endpoints, and no secret is in this file, in the image or in a variable.
//
// NEVER COMPILED, NEVER DEPLOYED. Neither the Bicep compiler nor a subscription was at hand where this was
// written. What was done: a parser reads it, names that it uses are declared, and the properties were compared
// with the published types of these API versions. deploy/README.md says what is still to be seen.
//
//   az deployment group create -g RG -f main.bicep -p image=REGISTRY.azurecr.io/tonegate@sha256:… \
//     vaultName=VAULT certificateName=edge voiceResource=RESOURCE audience=api://edge origin=https://app.example.com

targetScope = 'resourceGroup'

@description('Begins the names of all that is made here.')
@minLength(3)
@maxLength(16)
param name string = 'tonegate'

param location string = resourceGroup().location

@description('The image of deploy/Dockerfile, by digest.')
param image string

@description('A registry of Azure that has the image, in this resource group; empty: the image is public.')
param registryName string = ''

@description('A vault in this resource group. The certificate of the edge is in it, as PEM.')
param vaultName string

@description('The name of that certificate in the vault.')
param certificateName string

@description('The resource of Voice Live, in this resource group.')
param voiceResource string

@description('What callers\' tokens are for.')
param audience string

@description('The page that browsers come from.')
param origin string

@description('The port on which the world reaches the edge. TCP ingress may have neither 80 nor 443.')
@minValue(1024)
@maxValue(65535)
param port int = 8443

@minValue(2)
param minReplicas int = 2

@description('Also limits.replicas of edge.toml.')
param maxReplicas int = 10

@description('Connections of one replica from which on there is another one.')
param connectionsPerReplica int = 700

@description('Seconds from SIGTERM to SIGKILL: longer than server.grace of edge.toml. Container Apps takes 600 at the most.')
@minValue(60)
@maxValue(600)
param graceSeconds int = 600

@description('Who is told of alerts: an e-mail address.')
param alertsTo string = ''

@description('Denials in five minutes that are one alert.')
param denials int = 20

@description('For how many days logs are kept.')
@minValue(30)
param retentionDays int = 30

// ---- who the edge is ---------------------------------------------------------------------------------------

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${name}-edge'
  location: location
}

// ---- network -----------------------------------------------------------------------------------------------

// What may reach the environment: the edge's port, and the platform itself. Ports 80 and 443 are open in every
// environment for HTTP ingress; nothing here uses them.
resource guard 'Microsoft.Network/networkSecurityGroups@2024-07-01' = {
  name: '${name}-apps'
  location: location
  properties: {
    securityRules: [
      {
        name: 'edge'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'Internet'
          sourcePortRange: '*'
          destinationAddressPrefix: '10.60.0.0/24'
          destinationPortRange: string(port)
        }
      }
      {
        name: 'platform'
        properties: {
          priority: 110
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'AzureLoadBalancer'
          sourcePortRange: '*'
          destinationAddressPrefix: '10.60.0.0/24'
          destinationPortRange: '30000-32767'
        }
      }
      {
        name: 'within'
        properties: {
          priority: 120
          direction: 'Inbound'
          access: 'Allow'
          protocol: '*'
          sourceAddressPrefix: '10.60.0.0/24'
          sourcePortRange: '*'
          destinationAddressPrefix: '10.60.0.0/24'
          destinationPortRange: '*'
        }
      }
      {
        name: 'nobody-else'
        properties: {
          priority: 4000
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

// Private endpoints are reached from the apps, on the ports that they have.
resource endpointsGuard 'Microsoft.Network/networkSecurityGroups@2024-07-01' = {
  name: '${name}-endpoints'
  location: location
  properties: {
    securityRules: [
      {
        name: 'apps'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: '10.60.0.0/24'
          sourcePortRange: '*'
          destinationAddressPrefix: '10.60.1.0/24'
          destinationPortRanges: [
            '443'
            '10000'
          ]
        }
      }
      {
        name: 'nobody-else'
        properties: {
          priority: 4000
          direction: 'Inbound'
          access: 'Deny'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
    ]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-07-01' = {
  name: name
  location: location
  properties: {
    addressSpace: {
      addressPrefixes: [
        '10.60.0.0/16'
      ]
    }
    subnets: [
      {
        name: 'apps'
        properties: {
          addressPrefix: '10.60.0.0/24'
          networkSecurityGroup: {
            id: guard.id
          }
          delegations: [
            {
              name: 'apps'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: '10.60.1.0/24'
          privateEndpointNetworkPolicies: 'Enabled'
          networkSecurityGroup: {
            id: endpointsGuard.id
          }
        }
      }
    ]
  }

  resource apps 'subnets' existing = {
    name: 'apps'
  }

  resource endpoints 'subnets' existing = {
    name: 'endpoints'
  }
}

// ---- what the edge asks ------------------------------------------------------------------------------------

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource voice 'Microsoft.CognitiveServices/accounts@2025-06-01' existing = {
  name: voiceResource
}

// Not clustered: what is asked of the store in one question may have keys in any slot. With the policy
// EnterpriseCluster that would fail; with OSSCluster the URL is rediss-cluster://.
resource redis 'Microsoft.Cache/redisEnterprise@2025-07-01' = {
  name: '${name}-${uniqueString(resourceGroup().id)}'
  location: location
  sku: {
    name: 'Balanced_B1'
  }
  properties: {
    minimumTlsVersion: '1.2'
    highAvailability: 'Enabled'
    publicNetworkAccess: 'Disabled'
  }
}

resource store 'Microsoft.Cache/redisEnterprise/databases@2025-07-01' = {
  parent: redis
  name: 'default'
  properties: {
    clientProtocol: 'Encrypted'
    port: 10000
    clusteringPolicy: 'NoCluster'
    // A full store refuses what is new. It must forget nothing that is still needed.
    evictionPolicy: 'NoEviction'
    accessKeysAuthentication: 'Disabled'
  }
}

resource storeAccess 'Microsoft.Cache/redisEnterprise/databases/accessPolicyAssignments@2025-07-01' = {
  parent: store
  name: 'edge'
  properties: {
    accessPolicyName: 'default'
    user: {
      objectId: identity.properties.principalId
    }
  }
}

var asked = [
  {
    name: 'redis'
    service: redis.id
    group: 'redisEnterprise'
    zones: [
      'privatelink.redis.azure.net'
    ]
  }
  {
    name: 'vault'
    service: vault.id
    group: 'vault'
    zones: [
      'privatelink.vaultcore.azure.net'
    ]
  }
  {
    name: 'voice'
    service: voice.id
    group: 'account'
    zones: [
      'privatelink.cognitiveservices.azure.com'
      'privatelink.services.ai.azure.com'
    ]
  }
]

var zoneNames = flatten(map(asked, one => one.zones))

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [for zone in zoneNames: {
  name: zone
  location: 'global'
}]

resource zoneLinks 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (zone, i) in zoneNames: {
  parent: zones[i]
  name: name
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}]

resource endpoints 'Microsoft.Network/privateEndpoints@2024-07-01' = [for one in asked: {
  name: '${name}-${one.name}'
  location: location
  properties: {
    subnet: {
      id: network::endpoints.id
    }
    privateLinkServiceConnections: [
      {
        name: one.name
        properties: {
          privateLinkServiceId: one.service
          groupIds: [
            one.group
          ]
        }
      }
    ]
  }
}]

resource endpointNames 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-07-01' = [for (one, i) in asked: {
  parent: endpoints[i]
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [for zone in one.zones: {
      name: replace(zone, '.', '-')
      properties: {
        privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', zone)
      }
    }]
  }
  dependsOn: [
    zones
  ]
}]

// ---- what the edge may -------------------------------------------------------------------------------------

var roles = {
  vaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  cognitiveServicesUser: 'a97b65f3-24c7-4388-baec-2e87135dc908'
  azureAiUser: '53ca6127-db72-4b80-b1b0-d745d6d5456d'
  registryPull: '7f951dda-4ed3-4680-a7ca-43fe172d538d'
}

resource mayReadVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, identity.id, roles.vaultSecretsUser)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.vaultSecretsUser)
  }
}

resource mayAskVoice 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in [
  roles.cognitiveServicesUser
  roles.azureAiUser
]: {
  scope: voice
  name: guid(voice.id, identity.id, role)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
  }
}]

resource registry 'Microsoft.ContainerRegistry/registries@2025-04-01' existing = if (!empty(registryName)) {
  name: registryName
}

resource mayPull 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(registryName)) {
  scope: registry
  name: guid(registryName, identity.id, roles.registryPull)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.registryPull)
  }
}

// ---- logs --------------------------------------------------------------------------------------------------

resource logs 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: name
  location: location
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionDays
    features: {
      disableLocalAuth: true
      immediatePurgeDataOn30Days: true
    }
  }
}

resource appsLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: environment
  name: 'logs'
  properties: {
    workspaceId: logs.id
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
  }
}

resource vaultLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: '${name}-audit'
  properties: {
    workspaceId: logs.id
    logs: [
      {
        categoryGroup: 'audit'
        enabled: true
      }
    ]
  }
}

resource storeLogs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: store
  name: 'connections'
  properties: {
    workspaceId: logs.id
    logs: [
      {
        categoryGroup: 'allLogs'
        enabled: true
      }
    ]
  }
}

// ---- the edge ----------------------------------------------------------------------------------------------

resource environment 'Microsoft.App/managedEnvironments@2025-01-01' = {
  name: name
  location: location
  properties: {
    // External TCP ingress needs a network of one's own.
    vnetConfiguration: {
      infrastructureSubnetId: network::apps.id
      internal: false
    }
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
    ]
    appLogsConfiguration: {
      destination: 'azure-monitor'
    }
    // What apps in this environment say to each other is encrypted, too.
    peerTrafficConfiguration: {
      encryption: {
        enabled: true
      }
    }
    zoneRedundant: true
  }
}

resource edge 'Microsoft.App/containerApps@2025-01-01' = {
  name: name
  location: location
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identity.id}': {}
    }
  }
  properties: {
    environmentId: environment.id
    workloadProfileName: 'Consumption'
    configuration: {
      // A new revision gets all new connections. The one before it keeps its calls until it is deactivated,
      // which is done by hand (or a pipeline) when tonegate_sessions is 0; in the mode Single Container Apps would
      // end it after graceSeconds, whoever talks.
      activeRevisionsMode: 'Multiple'
      maxInactiveRevisions: 5
      ingress: {
        external: true
        // TLS ends in the edge: what clients show is seen by nobody in between.
        transport: 'tcp'
        targetPort: 8443
        exposedPort: port
        traffic: [
          {
            latestRevision: true
            weight: 100
          }
        ]
      }
      registries: empty(registryName) ? [] : [
        {
          server: '${registryName}.azurecr.io'
          identity: identity.id
        }
      ]
      secrets: [
        {
          // Without a version: the one that is current, looked for again within half an hour.
          name: 'tls'
          keyVaultUrl: '${vault.properties.vaultUri}secrets/${certificateName}'
          identity: identity.id
        }
        {
          // No secret, but this is how a file gets into a container.
          name: 'settings'
          value: loadTextContent('edge.toml')
        }
      ]
    }
    template: {
      terminationGracePeriodSeconds: graceSeconds
      containers: [
        {
          name: 'edge'
          image: image
          args: [
            'serve'
            '--config'
            '/etc/tonegate/edge.toml'
          ]
          resources: {
            cpu: json('1.0')
            memory: '2Gi'
          }
          env: [
            {
              name: 'AZURE_CLIENT_ID'
              value: identity.properties.clientId
            }
            {
              name: 'EDGE_OBJECT_ID'
              value: identity.properties.principalId
            }
            {
              name: 'REDIS_HOST'
              value: redis.properties.hostName
            }
            {
              name: 'TENANT_ID'
              value: tenant().tenantId
            }
            {
              name: 'AUDIENCE'
              value: audience
            }
            {
              name: 'VOICE_RESOURCE'
              value: voiceResource
            }
            {
              name: 'ORIGIN'
              value: origin
            }
          ]
          volumeMounts: [
            {
              volumeName: 'settings'
              mountPath: '/etc/tonegate'
            }
          ]
          probes: [
            {
              type: 'Startup'
              httpGet: {
                scheme: 'HTTPS'
                path: '/healthz'
                port: 8443
              }
              periodSeconds: 2
              failureThreshold: 30
            }
            {
              // Only whether it lives: an edge that drains, or whose store is away, is well.
              type: 'Liveness'
              httpGet: {
                scheme: 'HTTPS'
                path: '/healthz'
                port: 8443
              }
              periodSeconds: 10
              timeoutSeconds: 2
              failureThreshold: 6
            }
            {
              type: 'Readiness'
              httpGet: {
                scheme: 'HTTPS'
                path: '/readyz'
                port: 8443
              }
              periodSeconds: 3
              timeoutSeconds: 2
              failureThreshold: 2
            }
          ]
        }
      ]
      scale: {
        minReplicas: minReplicas
        maxReplicas: maxReplicas
        // Scaling in ends calls, too: slowly.
        cooldownPeriod: 1800
        rules: [
          {
            name: 'connections'
            tcp: {
              metadata: {
                concurrentConnections: string(connectionsPerReplica)
              }
            }
          }
        ]
      }
      volumes: [
        {
          name: 'settings'
          storageType: 'Secret'
          secrets: [
            {
              secretRef: 'settings'
              path: 'edge.toml'
            }
            {
              secretRef: 'tls'
              path: 'tls.pem'
            }
          ]
        }
      ]
    }
  }
  dependsOn: [
    mayReadVault
    mayAskVoice
    mayPull
    storeAccess
    endpointNames
    zoneLinks
  ]
}

// ---- alerts ------------------------------------------------------------------------------------------------

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = if (!empty(alertsTo)) {
  name: '${name}-people'
  location: 'global'
  properties: {
    groupShortName: take(name, 12)
    enabled: true
    emailReceivers: [
      {
        name: 'people'
        emailAddress: alertsTo
        useCommonAlertSchema: true
      }
    ]
  }
}

// The same as TonegateDenials of deploy/prometheus/alerts.yml, for who has no Prometheus: by the records of the
// audit. One alert for a window, however many denials are in it, and none while it goes on.
resource denied 'Microsoft.Insights/scheduledQueryRules@2022-06-15' = {
  name: '${name}-denials'
  location: location
  properties: {
    displayName: 'Requests and codes were denied'
    severity: 2
    enabled: true
    autoMitigate: true
    evaluationFrequency: 'PT5M'
    windowSize: 'PT5M'
    scopes: [
      logs.id
    ]
    criteria: {
      allOf: [
        {
          query: '''
ContainerAppConsoleLogs
| where Stream == "stdout"
| extend record = parse_json(Log)
| where record.decision == "deny" and record.rule in ("unauthenticated", "forbidden", "code_wrong", "locked_out")
'''
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: denials
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: empty(alertsTo) ? [] : [
        people.id
      ]
    }
  }
}

output edgeHost string = edge.properties.configuration.ingress.fqdn
output edgePort int = port
output addresses string = environment.properties.staticIp
