"""What a recipe says, one file a concern; `TrainingConfig` lays them side by side, flat in YAML."""
