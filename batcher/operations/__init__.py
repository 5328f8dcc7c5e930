"""What is provisioned; flow logs live here and nowhere else."""
