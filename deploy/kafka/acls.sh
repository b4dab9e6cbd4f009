#!/bin/sh
# Who may do what on the cluster. An administrator runs it once for a topic, with Kafka's own tools on PATH:
#   deploy/kafka/acls.sh BOOTSTRAP_SERVERS ADMIN_PROPERTIES [TOPIC [GROUP]]
set -eu
servers=$1 properties=$2 topic=${3:-credit-transfers} group=${4:-recharge}

allow() { # USER --topic|--group NAME OPERATION...
    user=$1 kind=$2 name=$3
    shift 3
    for operation in "$@"; do
        kafka-acls.sh --bootstrap-server "$servers" --command-config "$properties" --add \
            --allow-principal "User:$user" --operation "$operation" "$kind" "$name"
    done
}

# `recharge ingest` and `run` read, and write dead letters alone.
allow recharge --topic "$topic" Read Describe DescribeConfigs
allow recharge --topic "$topic.dlt" Read Write Describe
allow recharge --group "$group" Read Describe

# The apps that send records, and `recharge produce`: whoever may write the topic may spend.
allow producer --topic "$topic" Write Describe

# `recharge redrive`, which takes a record that the ledger has no more from the dead letters.
allow operator --topic "$topic" Write Describe
allow operator --topic "$topic.dlt" Read Describe

# `recharge status`, `audit` and `accept-gap`: they look, and never join the group.
allow reader --topic "$topic" Read Describe DescribeConfigs
allow reader --topic "$topic.dlt" Read Describe
allow reader --group "$group" Describe
